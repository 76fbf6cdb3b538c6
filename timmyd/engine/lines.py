"""The flow of telemetry: a line is one call, judged where it ran, and counted once by run and number."""

import msgspec
import xxhash

from timmyd.core.counting.identity import (
    ANSWERED,
    INNER,
    TELEMETRY,
    UNSURE,
    keys_of,
)
from timmyd.core.counting.register import Register
from timmyd.core.model import Execution
from timmyd.core.tasks import TaskTable
from timmyd.engine.facts import clean_model, clean_tool, facts_key
from timmyd.engine.intake import Cursor, Origin, Taken, keep_known
from timmyd.engine.lineage import Lineages
from timmyd.sources import telemetry
from timmyd.sources.decoding import Content
from timmyd.sources.messages import ids_of
from timmyd.store.batch import Batch, Request, Turn
from timmyd.store.usage import Used

_PROOF_BYTES = 256


class LineIngest:
    """Applies the lines of telemetry files to a batch."""

    def __init__(self, tasks: TaskTable) -> None:
        """Use the table that says which calls are read, build, test or judge."""
        self.tasks = tasks

    def take(
        self,
        batch: Batch,
        origin: Origin,
        data: Content,
        cursor: Cursor,
        *,
        is_cut: bool = False,
    ) -> Taken:
        """Take the lines of `data`, the part of the file behind the cursor; `is_cut`: not its end.

        Raises:
            SessionError: The file is of a newer major schema.
        """
        found = telemetry.decode(bytes(data), cursor.heads, is_cut=is_cut)
        lineages = Lineages(batch, origin)
        new = duplicates = amended = 0
        skipped = dict(found.refused)
        for line in found.lines:
            at, _ = origin.dated(line.at)
            if at < origin.oldest:
                skipped["too_old"] = skipped.get("too_old", 0) + 1
                continue
            ids = ids_of(line.call_id) if line.kind == "tool" and not line.inner else ()
            facts = facts_key(line.tool, line.signature) if line.kind == "tool" else 0
            lineage = lineages.of_line(line.session_id, ids, facts)
            lineages.leave(lineage, (ids,))
            register = batch.register(lineage)
            batch.touch(lineage, origin.now)
            if not register.take_line(line.run, line.n):
                duplicates += 1
                continue
            if line.kind == "tool":
                if self._take_tool_line(batch, origin, register, lineage, line, at):
                    new += 1
                else:
                    amended += 1
            else:
                _take_other_line(batch, origin, lineage, line, at)
                if line.kind == "model" and line.model and line.outcome != "blocked":
                    house = batch.house_of(lineage) or origin.house
                    batch.use(_used(lineages.session(line.session_id), house, line, at))
        after = Cursor(
            offset=cursor.offset + found.size,
            proof=cursor.proof,
            proof_bytes=cursor.proof_bytes,
            heads=found.heads,
        )
        if found.size:
            proof = bytes(data[max(0, found.size - _PROOF_BYTES) : found.size])
            after.proof, after.proof_bytes = xxhash.xxh3_64_intdigest(proof), len(proof)
        return Taken(new, duplicates + amended, amended, skipped, after, more=is_cut)

    def _take_tool_line(
        self,
        batch: Batch,
        origin: Origin,
        register: Register,
        lineage: int,
        line: telemetry.Line,
        at: float,
    ) -> bool:
        keys = keys_of(ids_of(line.call_id))
        facts = facts_key(line.tool, line.signature)
        index = None
        if not line.inner:
            began = at - (line.latency_ms or 0.0) / 1000.0
            index = register.meet(keys, facts, rank=TELEMETRY, began_at=began)
        execution = self._from_line(batch, origin, lineage, line, at)
        if index is None:
            execution = msgspec.structs.replace(execution, id=batch.new_execution())
            flags = ANSWERED | (INNER if line.inner else 0)
            register.add(keys, facts, execution.id, rank=TELEMETRY, seen_at=at, flags=flags)
            batch.add(execution)
            return True
        known = register.known[index]
        known.shown_by |= 1 << TELEMETRY
        known.flags = (known.flags | ANSWERED) & ~UNSURE
        known.best, known.seen_at = TELEMETRY, at
        before = batch.execution(known.execution)
        if before is not None:
            batch.amend(keep_known(msgspec.structs.replace(execution, id=known.execution), before))
        return False

    def _from_line(
        self, batch: Batch, origin: Origin, lineage: int, line: telemetry.Line, at: float
    ) -> Execution:
        return Execution(
            id=0,
            at=at,
            at_approximate=origin.dated(line.at)[1],
            session=lineage,
            house=batch.house_of(lineage) or origin.house,
            tool=clean_tool(line.tool),
            signature=line.signature,
            shape=line.shape,
            model=clean_model(line.model) if line.model else None,
            task_type=self.tasks.task_type(line.tool, line.shape),
            outcome=line.outcome,
            rule=line.rule,
            error_type=line.error_type,
            source="telemetry",
            latency_ms=line.latency_ms,
            confidence=line.confidence,
            tokens_in=line.tokens_in,
            tokens_out=line.tokens_out,
            policy=line.policy,
            followed=line.followed,
            inner=line.inner,
        )


def _take_other_line(
    batch: Batch, origin: Origin, lineage: int, line: telemetry.Line, at: float
) -> None:
    house = batch.house_of(lineage) or origin.house
    if line.kind == "end":
        batch.add_turn(Turn(at, lineage, house, line.completed, line.interrupted, line.policy))
    elif (
        line.model and line.outcome != "blocked"
    ):  # what we answered ourselves says nothing of a model
        model = clean_model(line.model)
        ok = line.outcome == "ok"
        batch.add_request(
            Request(
                at,
                house,
                model,
                ok,
                line.latency_ms,
                line.tokens_in,
                line.tokens_out,
                provider=clean_model(line.provider) if line.provider else "",
                error_class=line.error_class or "unknown",
            )
        )


def _used(session: int, house: str, line: telemetry.Line, at: float) -> Used:
    model = clean_model(line.model or "")
    tokens_in, tokens_out = line.tokens_in, line.tokens_out
    return Used(session, model, "telemetry", house, at, 1, tokens_in, tokens_out, None, total=False)
