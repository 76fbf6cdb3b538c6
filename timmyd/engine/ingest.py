"""Takes what a source shows into the database: each requested call once (law 1)."""

from collections.abc import Mapping
from datetime import tzinfo
from typing import Self
from zoneinfo import ZoneInfo

import msgspec

from timmyd.config import Settings
from timmyd.core.counting.register import Register
from timmyd.core.counting.walk import Placement, place
from timmyd.core.model import Call, Execution, Session
from timmyd.core.tasks import TaskTable
from timmyd.engine.facts import Describer, clean_model, judge_result, loads_result
from timmyd.engine.intake import Cursor, Origin, Taken, keep_known, settle_times
from timmyd.engine.lineage import Lineages
from timmyd.engine.lines import LineIngest
from timmyd.house.outcome import PLAIN, Judged, Marks, judge
from timmyd.sources import session as plain, snapshot
from timmyd.sources.decoding import Content
from timmyd.store.batch import Batch

CALLS_A_SLICE = 2_000
"""New calls that are taken from one document at a time, some tenths of a second."""


def prices_of(settings: Settings) -> dict[str, tuple[float, float]]:
    """Per model, the price of a million tokens in and out (`[prices]`)."""
    return {
        model: (price.per_million_in, price.per_million_out)
        for model, price in settings.prices.items()
    }


class Ingest:
    """Decodes files and applies them to a batch. Holds settings and memos, no other state."""

    def __init__(
        self,
        *,
        tasks: TaskTable,
        marks: Mapping[str, Marks] | None = None,
        prices: Mapping[str, tuple[float, float]] | None = None,
        zone: tzinfo | None = None,
        calls_a_slice: int = CALLS_A_SLICE,
    ) -> None:
        """Prepare to take files in.

        Args:
            tasks: Which calls are read, build, test or judge.
            marks: What the settings say of the results of each tool.
            prices: Per model, the price of a million tokens in and out.
            zone: In which naive times are meant; None for the machine's own.
            calls_a_slice: Of a document, at most; the next calls come with the next reading.
        """
        self.calls_a_slice = calls_a_slice
        self.describe = Describer(tasks)
        self._lines = LineIngest(tasks)
        self._marks = dict(marks or {})
        self._prices = dict(prices or {})
        self.zone = zone

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """As the settings say."""
        zone = settings.clock.zone
        return cls(
            tasks=TaskTable.of(settings.tasks),
            marks={
                tool: Marks(table.exit_code, frozenset(table.failures), frozenset(table.data))
                for tool, table in settings.outcomes.items()
            },
            prices=prices_of(settings),
            zone=None if zone == "system" else ZoneInfo(zone),
        )

    # --------------------------------------------------------------------- files
    def take(
        self,
        batch: Batch,
        origin: Origin,
        data: Content,
        cursor: Cursor | None,
        *,
        is_cut: bool = False,
    ) -> Taken:
        """Take one file in, as far as it was not taken in before.

        Args:
            batch: The open transaction; nothing stands before it commits.
            origin: Where the file comes from.
            data: The file, or for telemetry its part from `cursor.offset` on.
            cursor: What the last reading of this file left.
            is_cut: Telemetry only: the file goes on behind `data`.

        Raises:
            SessionError: The file cannot be used; nothing of it was applied.
        """
        if origin.source == "telemetry":
            return self._lines.take(batch, origin, data, cursor or Cursor(), is_cut=is_cut)
        if origin.source == "snapshot":
            resume = None if cursor is None else cursor.checkpoint
            shown: Session | None = snapshot.decode(
                data, zone=self.zone, resume=resume, again=cursor is not None
            )
        else:
            shown = plain.decode(data, zone=self.zone, fallback_id=origin.name)
        if shown is None:
            return Taken(0, 0, 0, {}, None)
        return self.take_session(batch, origin, shown, cursor)

    def rest(self) -> None:
        """Let go of what a busy time has left behind."""
        self.describe.forget()

    def grown(self, grown: snapshot.Grown) -> Session | None:
        """What a snapshot shows behind its settled part; None if all of it must be read."""
        return snapshot.decode_grown(grown, zone=self.zone)

    def take_session(
        self, batch: Batch, origin: Origin, shown: Session, cursor: Cursor | None
    ) -> Taken:
        """Take in what a document-like source shows of a session; `cursor` as for `take`."""
        first_look = cursor is None or cursor.unfinished
        sure = settle_times(shown, origin)
        written_at, _ = origin.dated(shown.updated_at or origin.written_at)
        if written_at < origin.oldest and shown.calls:
            shown = msgspec.structs.replace(
                shown, calls=[], checkpoint=None, skipped={"too_old": len(shown.calls)}
            )
        calls = len(shown.calls)
        lineages = Lineages(batch, origin)
        lineage, file = lineages.of_document(shown, self.describe.key)
        register = batch.register(lineage)
        more = _cut(shown, len(register.path(file)) + self.calls_a_slice)
        placed = place(
            register,
            shown,
            file=file,
            facts=self.describe.key,
            new_execution=batch.new_execution,
            seen_at=written_at,
            sure=sure,
        )
        draft = _Drafts(
            self, batch, origin, shown, register, lineage, calls if first_look else None
        )
        new = amended = 0
        for placement in placed.placements:
            if placement.new:
                new += 1
                batch.add(draft(placement))
            elif self._amend(batch, register, placement, draft):
                amended += 1
        counted = [placement.call for placement in placed.placements if placement.new]
        lineages.leave_document(lineage, shown, counted)
        batch.touch(lineage, origin.now)
        seen = len(shown.calls) - new
        before = {} if cursor is None else cursor.skipped
        skipped = before if shown.resumed is not None else shown.skipped
        fresh = {reason: n - before.get(reason, 0) for reason, n in skipped.items()}
        after = Cursor(
            checkpoint=placed.checkpoint, skipped=skipped, unfinished=more and first_look
        )
        skipped = {reason: n for reason, n in fresh.items() if n > 0}
        return Taken(new, seen, amended, skipped, after, more)

    # ----------------------------------------------------------------- documents
    @staticmethod
    def _amend(batch: Batch, register: Register, placement: Placement, draft: "_Drafts") -> bool:
        before = batch.execution(register.known[placement.index].execution)
        if before is None:
            return False
        found = draft(placement)
        if placement.answers and not placement.better:
            found = msgspec.structs.replace(
                found, model=before.model, signature=before.signature, shape=before.shape
            )
        if before.at_approximate and placement.answers and found.at_approximate:
            found = msgspec.structs.replace(found, at=before.at)
        return batch.amend(keep_known(found, before))

    def judge(self, call: Call) -> Judged:
        """The outcome of a call, with the settings of `[outcomes]`."""
        if call.verdict == "ok" and call.content in {None, ""}:
            return Judged("ok", "given", None)
        if call.verdict == "error":
            found = judge(
                call.tool, call.content or "", disposition=call.disposition, loads=loads_result
            )
            return found if found.outcome not in {"ok", "unknown"} else _GIVEN_ERROR
        return judge_result(
            call.tool,
            call.content,
            disposition=call.disposition,
            marks=self._marks.get(call.tool, PLAIN),
        )

    def price(self, model: str, tokens_in: int | None, tokens_out: int | None) -> float | None:
        """The cost of a call of a model, None unless its price is set."""
        per_million = self._prices.get(model)
        if per_million is None or tokens_in is None or tokens_out is None:
            return None
        return (tokens_in * per_million[0] + tokens_out * per_million[1]) / 1_000_000


def _cut(shown: Session, most: int) -> bool:
    """Let a document end after so many calls, as if it had not grown further yet; True if it did."""
    before = 0 if shown.resumed is None else shown.resumed.calls
    if before + len(shown.calls) <= most:
        return False
    del shown.calls[most - before :]
    shown.checkpoint = None
    return True


class _Drafts:
    """Makes executions of the calls of one document; what they share is worked out once."""

    def __init__(
        self,
        ingest: Ingest,
        batch: Batch,
        origin: Origin,
        shown: Session,
        register: Register,
        lineage: int,
        spread_over: int | None,
    ) -> None:
        self._ingest = ingest
        self._known = register.known
        self._lineage = lineage
        self._house = batch.house_of(lineage) or origin.house
        self._source = shown.source
        self._model = clean_model(shown.model) if shown.model else None
        self._origin = origin
        end, _ = origin.dated(shown.updated_at or origin.written_at)
        start = None if shown.started_at is None else origin.dated(shown.started_at)[0]
        self._spread = spread_over is not None and start is not None and start < end
        self._start = start if start is not None else end
        self._step = (end - self._start) / max(1, spread_over or 0)
        self._written, _ = origin.dated(origin.written_at)

    def __call__(self, placement: Placement) -> Execution:
        """The execution that a placed call is."""
        call = placement.call
        facts = self._ingest.describe(call)
        verdict = self._ingest.judge(call)
        at, approximate = self._time_of(placement)
        return Execution(
            id=self._known[placement.index].execution,
            at=at,
            at_approximate=approximate,
            session=self._lineage,
            house=self._house,
            tool=facts.tool,
            signature=facts.signature,
            shape=facts.shape,
            model=self._model,
            task_type=facts.task_type,
            outcome=verdict.outcome,
            rule=verdict.rule,
            error_type=verdict.error_type,
            source=self._source,
            latency_ms=call.latency_ms,
        )

    def _time_of(self, placement: Placement) -> tuple[float, bool]:
        """When a call ran, Unix seconds, and whether that is inferred (CONTRACT §1)."""
        at = placement.call.at
        if at is not None and at > 0:
            return self._origin.dated(at)
        if self._spread:
            return self._start + self._step * (placement.position + 1), True
        return self._written, True


_GIVEN_ERROR = Judged("error", "given", None)
