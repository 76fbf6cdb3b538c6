"""Takes what a source shows into the database: each requested call once (law 1)."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import tzinfo
from functools import lru_cache
from hashlib import sha256
from typing import Any, NamedTuple, Self
from zoneinfo import ZoneInfo

import msgspec
import xxhash

from timmyd.config import Settings
from timmyd.core.model import Call, Checkpoint, Execution, Session, Source
from timmyd.core.register import (
    ANSWERED,
    INNER,
    Placement,
    Register,
    hash_text,
    key_of,
    never_repeats,
    rank,
)
from timmyd.core.tasks import TaskTable
from timmyd.errors import SessionError
from timmyd.house.outcome import Judgement, judge
from timmyd.house.shape import describe, shape as shape_of
from timmyd.sources import session as plain, snapshot, telemetry
from timmyd.sources.messages import Content
from timmyd.store.batch import NO_LINEAGE, Batch, Request, Turn

UNNAMED = "unnamed"
"""Stands for a tool or a model whose name is not made like one."""

_TOOL_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,63}")
_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}")
_MEMO = 20_000
_LONGEST_REMEMBERED = 4_096
_MARK_CALLS = 3
_PROOF_BYTES = 256
_PLAIN = frozenset({str, int, bool, type(None)})
_canonical = msgspec.json.Encoder(order="sorted").encode
_TELEMETRY = rank("telemetry")


class Origin(NamedTuple):
    """Where a file comes from, and how it looked when it was opened.

    Attributes:
        home: The Hermes home or directory; session ids are unique within it.
        house: Whose work it is.
        source: Which source reads it.
        name: The file's name without folder and ending.
        written_at: The file's time of change, Unix seconds.
        now: Unix seconds; nothing is recorded later than this.
    """

    home: str
    house: str
    source: Source
    name: str
    written_at: float
    now: float


class Cursor(msgspec.Struct, kw_only=True):
    """How far a file was read, kept with the ledger's row of it.

    Attributes:
        checkpoint: Of a snapshot.
        offset: Of a telemetry file: bytes up to the end of the last whole line.
        proof: xxh3_64 of the `proof_bytes` before `offset`; tells that the file is still the same.
        heads: The headers of a telemetry file, by run.
    """

    checkpoint: Checkpoint | None = None
    offset: int = 0
    proof: int = xxhash.xxh3_64_intdigest(b"")
    proof_bytes: int = 0
    heads: dict[str, telemetry.Head] = msgspec.field(default_factory=dict)


class Taken(NamedTuple):
    """What came of a file.

    Attributes:
        executions: Counted for the first time.
        duplicates: Shown, but counted before.
        amended: Answered now, or known better now.
        refused: Lines of a telemetry file that could not be used, by code.
        cursor: Where the next reading may start; None if the file is not ours.
    """

    executions: int
    duplicates: int
    amended: int
    refused: Mapping[str, int]
    cursor: Cursor | None


class Facts(NamedTuple):
    """What is stored of a call's tool and arguments."""

    signature: str
    shape: str
    key: int


class Ingest:
    """Decodes files and applies them to a batch. Holds settings and memos, no other state."""

    def __init__(
        self,
        *,
        tasks: TaskTable,
        ignore_exit_codes: frozenset[str] = frozenset(),
        prices: Mapping[str, tuple[float, float]] | None = None,
        zone: tzinfo | None = None,
    ) -> None:
        """Prepare to take files in.

        Args:
            tasks: Which calls are read, build, test or judge.
            ignore_exit_codes: Tools whose exit code is no verdict.
            prices: Per model, the price of a million tokens in and out.
            zone: In which naive times are meant; None for the machine's own.
        """
        self.tasks = tasks
        self._ignore = ignore_exit_codes
        self._prices = dict(prices or {})
        self._zone = zone
        self._describe: Callable[[str, str], Facts] = lru_cache(maxsize=_MEMO)(facts_of)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """As the settings say."""
        zone = settings.clock.zone
        return cls(
            tasks=TaskTable.of(settings.tasks),
            ignore_exit_codes=frozenset(
                tool for tool, table in settings.outcomes.items() if table.exit_code == "ignore"
            ),
            prices={
                model: (price.per_million_in, price.per_million_out)
                for model, price in settings.prices.items()
            },
            zone=None if zone == "system" else ZoneInfo(zone),
        )

    # --------------------------------------------------------------------- files
    def take(
        self,
        batch: Batch,
        origin: Origin,
        data: Content,
        cursor: Cursor | None,
    ) -> Taken:
        """Take one file in, as far as it was not taken in before.

        Args:
            batch: The open transaction; nothing stands before it commits.
            origin: Where the file comes from.
            data: The file, or for telemetry its part from `cursor.offset` on.
            cursor: What the last reading of this file left.

        Raises:
            SessionError: The file cannot be used; nothing of it was applied.
        """
        if origin.source == "telemetry":
            return self._take_lines(batch, origin, data, cursor or Cursor())
        if origin.source == "snapshot":
            resume = None if cursor is None else cursor.checkpoint
            shown: Session | None = snapshot.decode(
                data, zone=self._zone, resume=resume, again=cursor is not None
            )
        else:
            shown = plain.decode(data, zone=self._zone, fallback_id=origin.name)
        if shown is None:
            return Taken(0, 0, 0, {}, None)
        return self.take_session(batch, origin, shown, first_look=cursor is None)

    def take_session(
        self, batch: Batch, origin: Origin, shown: Session, *, first_look: bool
    ) -> Taken:
        """Take in what a document-like source shows of a session."""
        lineage, file = self._lineage(batch, origin, shown)
        register = batch.register(lineage)
        facts = _FactsOf(self.facts_of)

        written_at = min(shown.updated_at or origin.written_at, origin.now)
        placed = register.place(
            shown, file=file, facts=facts.key, new_execution=batch.new_execution, seen_at=written_at
        )
        times = _Times(shown, origin, first_look=first_look)
        new = 0
        amended = 0
        for placement in placed.placements:
            if placement.new:
                new += 1
                batch.add(
                    self._execution(origin, shown, register, lineage, placement, facts, times)
                )
            elif self._amend(batch, origin, shown, register, lineage, placement, facts, times):
                amended += 1
        counted = [placement.call for placement in placed.placements if placement.new]
        batch.mark(_marks(origin.home, shown, counted), lineage)
        batch.mark(_opening_marks(origin.home, shown, gone_on=shown.turns > 1), lineage)
        batch.mark(_repeating_marks(origin.home, shown), NO_LINEAGE)
        batch.touch(lineage, origin.now)
        seen = len(shown.calls) - new
        return Taken(new, seen, amended, {}, Cursor(checkpoint=placed.checkpoint))

    def facts_of(self, call: Call) -> Facts:
        """What is stored of a call's tool and arguments."""
        arguments = call.arguments
        if not isinstance(arguments, str):
            try:
                arguments = json.dumps(arguments)
            except (TypeError, ValueError, RecursionError):
                arguments = ""
        if len(arguments) > _LONGEST_REMEMBERED:
            return facts_of(call.tool, arguments)
        return self._describe(call.tool, arguments)

    # ------------------------------------------------------------------- lineage
    def _lineage(self, batch: Batch, origin: Origin, shown: Session) -> tuple[int, int]:
        """The lineage that a document belongs to, and the hash that its path starts from.

        A document may be what shows that several lineages are one: a branch of the first that was
        rotated into the second. Then they become the oldest of them.
        """
        home = batch.name(origin.home)
        file = hash_text(shown.session_id)
        own = batch.lineage_of(home, file)
        if own is not None and batch.register(own).path(file):
            return own, file
        found = self._continued(batch, origin, shown)
        if own is not None:
            found.add(own)
        if not found:
            found.add(batch.new_lineage(origin.house, started_at=shown.started_at, now=origin.now))
        root = min(found)
        for lineage in sorted(found - {root}):
            batch.merge(lineage, root, origin.now)
        if own is None:
            batch.enter(home, file, root)
        return root, file

    def _continued(self, batch: Batch, origin: Origin, shown: Session) -> set[int]:
        """The lineages that a document continues, by its start and its calls, else by its first turn."""
        marks = _marks(origin.home, shown, shown.calls[:_MARK_CALLS])
        found = {lineage for mark in marks if (lineage := batch.joined(mark)) is not None}
        if found:
            return found
        marks = _opening_marks(origin.home, shown, gone_on=True)
        if shown.turns > 1:
            marks.extend(_opening_marks(origin.home, shown, gone_on=False))
        return {lineage for mark in marks if (lineage := batch.joined(mark)) is not None}

    # ----------------------------------------------------------------- documents
    def _execution(
        self,
        origin: Origin,
        shown: Session,
        register: Register,
        lineage: int,
        placement: Placement,
        facts_of_call: "_FactsOf",
        times: "_Times",
    ) -> Execution:
        call = placement.call
        facts = facts_of_call(call)
        verdict = self.judge(call)
        at, approximate = times.of(call)
        return Execution(
            id=register.known[placement.index].execution,
            at=at,
            at_approximate=approximate,
            session=lineage,
            house=origin.house,
            tool=clean_tool(call.tool),
            signature=facts.signature,
            shape=facts.shape,
            model=clean_model(shown.model) if shown.model else None,
            task_type=self.tasks.task_type(call.tool, facts.shape),
            outcome=verdict.outcome,
            rule=verdict.rule,
            error_type=verdict.error_type,
            source=shown.source,
            latency_ms=call.latency_ms,
        )

    def _amend(
        self,
        batch: Batch,
        origin: Origin,
        shown: Session,
        register: Register,
        lineage: int,
        placement: Placement,
        facts_of_call: "_FactsOf",
        times: "_Times",
    ) -> bool:
        before = batch.execution(register.known[placement.index].execution)
        if before is None:
            return False
        found = self._execution(origin, shown, register, lineage, placement, facts_of_call, times)
        if placement.answers and not placement.better:
            found = msgspec.structs.replace(
                found, model=before.model, signature=before.signature, shape=before.shape
            )
        if before.at_approximate and placement.answers and found.at_approximate:
            found = msgspec.structs.replace(found, at=before.at)
        return batch.amend(_keep_known(found, before))

    def judge(self, call: Call) -> Judgement:
        """The outcome of a call, with the settings of `[outcomes]`."""
        if call.verdict == "ok" and call.content in {None, ""}:
            return Judgement("ok", "given", None)
        if call.verdict == "error":
            found = judge(
                call.tool, call.content or "", disposition=call.disposition, loads=loads_result
            )
            return found if found.outcome not in {"ok", "unknown"} else _GIVEN_ERROR
        return judge_result(
            call.tool,
            call.content,
            disposition=call.disposition,
            exit_codes="ignore" if call.tool in self._ignore else "error",
        )

    # ----------------------------------------------------------------- telemetry
    def _take_lines(self, batch: Batch, origin: Origin, data: Content, cursor: Cursor) -> Taken:
        found = telemetry.decode(bytes(data), cursor.heads)
        new = duplicates = amended = 0
        for line in found.lines:
            lineage = self._line_lineage(batch, origin, line)
            register = batch.register(lineage)
            batch.touch(lineage, origin.now)
            if not register.take_line(line.run, line.n):
                duplicates += 1
                continue
            at = min(line.at, origin.now)
            if line.kind == "tool":
                if self._take_tool_line(batch, origin, register, lineage, line, at):
                    new += 1
                else:
                    amended += 1
            else:
                _take_other_line(batch, origin, lineage, line, at)
        after = Cursor(
            offset=cursor.offset + found.size,
            proof=cursor.proof,
            proof_bytes=cursor.proof_bytes,
            heads=found.heads,
        )
        if found.size:
            proof = bytes(data[max(0, found.size - _PROOF_BYTES) : found.size])
            after.proof, after.proof_bytes = xxhash.xxh3_64_intdigest(proof), len(proof)
        return Taken(new, duplicates + amended, amended, found.refused, after)

    def _line_lineage(self, batch: Batch, origin: Origin, line: telemetry.Line) -> int:
        home = batch.name(origin.home)
        sid = hash_text(line.session_id)
        lineage = batch.lineage_of(home, sid)
        if lineage is None:
            lineage = batch.new_lineage(origin.house, started_at=None, now=origin.now)
            batch.enter(home, sid, lineage)
        if line.inner or not never_repeats(line.call_id):
            return lineage
        if batch.register(lineage).with_key(key_of(line.call_id)):
            return lineage
        # a child that was read before showed the call as a copy
        other = batch.joined(_id_mark(origin.home, line.call_id))
        if other is None or other == lineage:
            return lineage
        batch.merge(lineage, other, origin.now)
        return other

    def _take_tool_line(
        self,
        batch: Batch,
        origin: Origin,
        register: Register,
        lineage: int,
        line: telemetry.Line,
        at: float,
    ) -> bool:
        key = key_of(line.call_id)
        facts = facts_key(line.tool, line.signature)
        index = None
        if not line.inner:
            began = at - (line.latency_ms or 0.0) / 1000.0
            index = register.meet(key, facts, rank=_TELEMETRY, ran_at=began)
        execution = self._from_line(origin, lineage, line, at)
        if index is None:
            execution = msgspec.structs.replace(execution, id=batch.new_execution())
            flags = ANSWERED | (INNER if line.inner else 0)
            register.add(key, facts, execution.id, rank=_TELEMETRY, seen_at=at, flags=flags)
            batch.add(execution)
            return True
        known = register.known[index]
        known.shown_by |= 1 << _TELEMETRY
        known.flags |= ANSWERED
        known.best = _TELEMETRY
        before = batch.execution(known.execution)
        if before is not None:
            batch.amend(_keep_known(msgspec.structs.replace(execution, id=known.execution), before))
        if key and never_repeats(line.call_id):
            batch.mark([_id_mark(origin.home, line.call_id)], lineage)
        return False

    def _from_line(
        self, origin: Origin, lineage: int, line: telemetry.Line, at: float
    ) -> Execution:
        return Execution(
            id=0,
            at=at,
            session=lineage,
            house=origin.house,
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

    def price(self, model: str, tokens_in: int | None, tokens_out: int | None) -> float | None:
        """The cost of a call of a model, None unless its price is set."""
        per_million = self._prices.get(model)
        if per_million is None or tokens_in is None or tokens_out is None:
            return None
        return (tokens_in * per_million[0] + tokens_out * per_million[1]) / 1_000_000


class _FactsOf:
    """The facts of the calls of one document, each worked out once and only if asked for."""

    __slots__ = ("_known", "_work_out")

    def __init__(self, work_out: Callable[[Call], Facts]) -> None:
        self._known: dict[int, Facts] = {}
        self._work_out = work_out

    def __call__(self, call: Call) -> Facts:
        found = self._known.get(id(call))
        if found is None:
            found = self._known[id(call)] = self._work_out(call)
        return found

    def key(self, call: Call) -> int:
        """The hash of its tool and arguments."""
        return self(call).key


class _Times:
    """The time of each call of a document (CONTRACT §1)."""

    def __init__(self, shown: Session, origin: Origin, *, first_look: bool) -> None:
        self._now = origin.now
        end = min(shown.updated_at or origin.written_at, origin.now)
        start = shown.started_at
        self._spread = first_look and start is not None and start < end and bool(shown.calls)
        self._start = start if start is not None else end
        self._step = (end - self._start) / max(1, len(shown.calls)) if self._spread else 0.0
        self._place = {id(call): n for n, call in enumerate(shown.calls, 1)} if self._spread else {}
        self._written = min(origin.written_at, origin.now)

    def of(self, call: Call) -> tuple[float, bool]:
        """When a call ran, Unix seconds, and whether that is inferred."""
        if call.at is not None and call.at > 0:
            return min(call.at, self._now), False
        if self._spread:
            return self._start + self._step * self._place.get(id(call), 1), True
        return self._written, True


def _take_other_line(
    batch: Batch, origin: Origin, lineage: int, line: telemetry.Line, at: float
) -> None:
    if line.kind == "end":
        batch.add_turn(
            Turn(at, lineage, origin.house, line.completed, line.interrupted, line.policy)
        )
    elif line.model:
        model = clean_model(line.model)
        ok = line.outcome == "ok"
        batch.add_request(
            Request(at, origin.house, model, ok, line.latency_ms, line.tokens_in, line.tokens_out)
        )


def _keep_known(found: Execution, before: Execution) -> Execution:
    """What the better sighting does not know stays as the other source had it."""
    gaps = {
        name: getattr(before, name)
        for name in (
            "latency_ms",
            "confidence",
            "tokens_in",
            "tokens_out",
            "cost",
            "policy",
            "followed",
            "model",
        )
        if getattr(found, name) is None
    }
    if not found.shape:
        gaps["shape"] = before.shape
    return msgspec.structs.replace(found, **gaps) if gaps else found


def _marks(home: str, shown: Session, calls: Sequence[Call]) -> list[int]:
    """Hashes by which a document with a new id is known to continue a lineage, surest first."""
    marks = []
    if shown.start_key:
        marks.append(hash_text(f"start\0{home}\0{shown.start_key}"))
    marks.extend(_id_mark(home, call.call_id) for call in calls if never_repeats(call.call_id))
    return marks


def _opening_marks(home: str, shown: Session, *, gone_on: bool) -> list[int]:
    """The mark of its first turn, alone or with another turn after it.

    A branch repeats the first turn of its original and goes on. Of two documents with the same
    first turn one must have gone on; otherwise the same work was merely done twice.
    """
    if shown.opening is None or shown.platform == "cron":
        return []
    return [hash_text(f"opening\0{home}\0{shown.opening}\0{gone_on}")]


def _repeating_marks(home: str, shown: Session) -> list[int]:
    """The marks of ids that look random and yet repeat: some servers send one id for all calls."""
    seen: set[str] = set()
    repeated: set[str] = set()
    for call in shown.calls:
        (repeated if call.call_id in seen else seen).add(call.call_id)
    return [_id_mark(home, call_id) for call_id in repeated if never_repeats(call_id)]


def _id_mark(home: str, call_id: str) -> int:
    return hash_text(f"id\0{home}\0{call_id}")


def facts_of(tool: str, arguments: str) -> Facts:
    """What is stored of a call; the same as `house.shape.describe`, by a faster decoder where it can.

    Flat objects of texts, whole numbers and truth values have one canonical form, whoever writes it;
    what else there is (fractions, nesting, broken text) takes the house kit's own way.
    """
    try:
        value = msgspec.json.decode(arguments)
        if type(value) is dict and all(type(item) in _PLAIN for item in value.values()):
            signature = sha256(_canonical(value)).hexdigest()[:16]
            return Facts(signature, shape_of(tool, value), facts_key(tool, signature))
    except (msgspec.MsgspecError, UnicodeError, OverflowError, RecursionError):
        pass
    signature, shape = describe(tool, arguments)
    return Facts(signature, shape, facts_key(tool, signature))


def facts_key(tool: str, signature: str) -> int:
    """The hash of tool and arguments by which sources meet."""
    return (int(signature, 16) ^ hash_text(tool)) & ((1 << 63) - 1)


def clean_tool(name: str) -> str:
    """A tool's name as it may be stored, published and put in a prompt.

    It comes from a session, so whoever talks to the agent may have written it. A name that is not
    made like one could be a sentence for a model to obey or a line for a log to swallow.
    """
    return name if _TOOL_NAME.fullmatch(name) else UNNAMED


def clean_model(name: str) -> str:
    """The same for a model's name."""
    return name if _MODEL_NAME.fullmatch(name) else UNNAMED


class _Verdict(msgspec.Struct, gc=False):
    error: Any = None
    status: Any = None
    exit_code: Any = None
    success: Any = None
    guardrail: Any = None


_verdicts = msgspec.json.Decoder(_Verdict)


def loads_result(text: str) -> Any:
    """Decode a tool's result as far as a judgement of it looks: most say early that all went well."""
    head = _verdicts.decode(text)
    if head.error or head.exit_code:
        return msgspec.json.decode(text)
    return {
        "error": head.error,
        "status": head.status,
        "exit_code": head.exit_code,
        "success": head.success,
    }


@lru_cache(maxsize=1024)
def _went_well(tool: str, *, with_code: bool) -> Judgement:
    """The judgement of a result in which nothing says otherwise."""
    return judge(tool, '{"exit_code": 0}' if with_code else "{}")


def judge_result(
    tool: str, content: Any, *, disposition: str | None = None, exit_codes: str = "error"
) -> Judgement:
    """The same as `house.outcome.judge`, with a short way for the many results that went well."""
    if type(content) is str and disposition is None and content[:1] == "{" and content[-1:] == "}":
        try:
            head = _verdicts.decode(content)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            head = None
        if (
            head is not None
            and not (head.error or head.exit_code)
            and head.success is not False
            and head.status is None
        ):
            return _went_well(tool, with_code=head.exit_code is not None)
    return judge(tool, content, disposition=disposition, loads=loads_result, exit_codes=exit_codes)


_GIVEN_ERROR = Judgement("error", "given", None)

__all__ = [
    "Cursor",
    "Facts",
    "Ingest",
    "Origin",
    "SessionError",
    "Taken",
    "clean_model",
    "clean_tool",
    "facts_key",
]
