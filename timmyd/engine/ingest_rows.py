"""Takes the rows of Hermes' `state.db`, or of an export of it, into the database: each call once."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from timmyd.core.counting.identity import (
    ANSWERED,
    STATE_DB,
    TELEMETRY,
    UNSURE,
    hash_text,
    is_damaged,
    keys_of,
)
from timmyd.core.counting.row_memory import RowMemory
from timmyd.core.counting.row_thread import Arrival, Asked, Resolved
from timmyd.core.model import Call, Execution, Facts
from timmyd.engine.facts import clean_model
from timmyd.engine.ingest import Ingest
from timmyd.engine.intake import Origin, dated_rows
from timmyd.engine.lineage import Lineages, Seen, continued
from timmyd.engine.row_views import RowView, TakenRows, says_less
from timmyd.house.outcome import Judged
from timmyd.sources.state_db_rows import Row, SessionRow, SessionSpent, ends_of_blocks
from timmyd.store.batch import Batch
from timmyd.store.usage import Used

__all__ = ["RowIngest", "TakenRows"]

_GIST: Final = 256
"""Characters of a row by which it is known again; only their hash is kept."""

_RAN: Final = frozenset({"ok", "error", "timeout"})
_LEAST_LATENCY_S: Final = 1e-4


class RowIngest:
    """Applies rows to a batch. Holds settings, no other state."""

    def __init__(self, ingest: Ingest) -> None:
        """Use the settings of `ingest`."""
        self.ingest = ingest

    def take(
        self,
        batch: Batch,
        origin: Origin,
        rows: Sequence[Row],
        sessions: Mapping[str, SessionRow],
        *,
        times_tell: bool,
    ) -> TakenRows:
        """Take rows in, in the order in which Hermes inserted them.

        Args:
            batch: The open transaction; nothing stands before it commits.
            origin: Where the rows come from.
            rows: In order; they may be any piece of the table, and may have been taken before.
            sessions: Their sessions, and the sessions that these continue.
            times_tell: Rows were written call by call, so that their times give latencies.
        """
        return _Flow(self, batch, origin, sessions, times_tell=times_tell).run(rows)


class _Flow:
    def __init__(
        self,
        settings: RowIngest,
        batch: Batch,
        origin: Origin,
        sessions: Mapping[str, SessionRow],
        *,
        times_tell: bool,
    ) -> None:
        self.ingest = settings.ingest
        self.batch = batch
        self.origin = origin
        self.sessions = sessions
        self.times_tell = times_tell
        self.oldest = origin.oldest
        self.views: dict[str, RowView] = {}
        self.memories: dict[int, RowMemory] = {}
        self.drafts: dict[int, Execution] = {}
        self.new = self.duplicates = self.amended = 0
        self.skipped: dict[str, int] = {}
        self.redated: set[int] = set()

    def run(self, rows: Sequence[Row]) -> TakenRows:
        rows, self.redated = dated_rows(rows, self.origin)
        fresh = [row for row in rows if row.at is None or row.at >= self.oldest]
        if len(fresh) < len(rows):
            self._skip("too_old", len(rows) - len(fresh))
        self._open_views(fresh)
        ends = ends_of_blocks(fresh)
        for row in fresh:
            self._take(row, ends.get(row.id))
        for execution in self.drafts.values():
            self.batch.add(execution)
        for view in self.views.values():
            view.memory.keep(view.sid, view.thread)
            self.batch.touch(view.lineage, self.origin.now)
        return TakenRows(self.new, self.duplicates, self.amended, self.skipped)

    # ------------------------------------------------------------------ lineage
    def _open_views(self, rows: Sequence[Row]) -> None:
        asked: dict[str, list[Call]] = {}
        for row in rows:
            asked.setdefault(row.session_id, []).extend(row.calls or ())
        lineages = Lineages(self.batch, self.origin)
        of: dict[str, int] = {}
        for session_id in sorted(asked):
            calls = asked[session_id]
            of[session_id] = lineages.of_rows(self.sessions, session_id, map(self._seen, calls))
            lineages.leave(of[session_id], [call.ids for call in calls])
        for session_id in sorted(asked):
            lineage = lineages.now(of[session_id])
            memory = self.memories.get(lineage)
            if memory is None:
                memory = self.memories[lineage] = RowMemory(self.batch.register(lineage))
            session = self.sessions.get(session_id) or SessionRow(session_id)
            house = self.batch.house_of(lineage) or self.origin.house
            for spent in session.spent:
                self._use(lineages.session(session_id), house, session, spent)
            self.views[session_id] = RowView(
                session, lineage, house, memory, self._parent_of(session)
            )

    def _use(self, key: int, house: str, session: SessionRow, spent: SessionSpent) -> None:
        at = spent.at or session.started_at or self.origin.written_at
        model = clean_model(spent.model)
        used = Used(
            key, model, "state_db", house, min(at, self.origin.now), spent.requests,
            spent.tokens_in, spent.tokens_out, spent.cost, total=True,
        )  # fmt: skip
        self.batch.use(used)

    def _seen(self, call: Call) -> Seen:
        return call.ids, self.ingest.describe.key(call), is_damaged(call)

    def _parent_of(self, row: SessionRow) -> SessionRow | None:
        parent = continued(self.sessions, row)
        return None if parent is None else self.sessions.get(parent) or SessionRow(parent)

    # --------------------------------------------------------------------- rows
    def _take(self, row: Row, ended_at: float | None) -> None:
        view = self.views[row.session_id]
        thread = view.thread
        if not row.calls:
            words = row.content if isinstance(row.content, str) else repr(row.content)
            thread.hear(hash_text(f"{row.role}\0{words[:_GIST]}"), row.at, row.id)
        if row.role == "tool":
            self._answer(view, row)
        else:
            thread.close_block()
            if row.calls:
                self._ask(view, row, row.calls, ended_at)
            if row.skipped:
                self._skip("bad_request", row.skipped)
        if row.at is not None:
            thread.move_on(row.at)

    def _skip(self, reason: str, n: int = 1) -> None:
        self.skipped[reason] = self.skipped.get(reason, 0) + n

    def _ask(self, view: RowView, row: Row, requested: list[Call], ended_at: float | None) -> None:
        facts = [self.ingest.describe(call) for call in requested]
        asked = [
            Asked(
                call.ids,
                keys_of(call.ids),
                call.tool,
                known.key,
                call.arguments if isinstance(call.arguments, str) else "",
            )
            for call, known in zip(requested, facts, strict=True)
        ]
        at = self._time_of(view, row)
        arrival = Arrival(at, view.sid, row.uid, view.continues_at, view.branched, ended_at, row.id)
        resolved = view.memory.resolve(view.thread, asked, arrival, self.batch.new_execution)
        self._open(view, row, asked, resolved)
        approximate = resolved.inserted_in_bulk or row.at is None or row.id in self.redated
        for place in resolved.new:
            execution = resolved.executions[place]
            self.drafts[execution] = self._draft(
                view, facts[place], execution, at, approximate=approximate
            )
        self.new += len(resolved.new)
        self.duplicates += len(asked) - len(resolved.new)

    @staticmethod
    def _open(view: RowView, row: Row, asked: Sequence[Asked], resolved: Resolved) -> None:
        thread = view.thread
        thread.size = len(asked)
        thread.asked_at = None if resolved.copy or resolved.inserted_in_bulk else row.at
        fresh = {*resolved.new, *resolved.met}
        thread.wait_for(
            [
                (call, execution, place not in fresh)
                for place, (call, execution) in enumerate(
                    zip(asked, resolved.executions, strict=True)
                )
            ]
        )

    def _draft(
        self,
        view: RowView,
        facts: Facts,
        execution: int,
        at: float,
        *,
        approximate: bool,
    ) -> Execution:
        model = view.row.model_at(at)
        return Execution(
            id=execution,
            at=min(at, self.origin.now),
            at_approximate=approximate,
            session=view.lineage,
            house=view.house,
            tool=facts.tool,
            signature=facts.signature,
            shape=facts.shape,
            model=clean_model(model) if model else None,
            task_type=facts.task_type,
            outcome="unknown",
            rule="no_result",
            source="state_db",
        )

    def _time_of(self, view: RowView, row: Row) -> float:
        if row.at is not None:
            return row.at
        return view.thread.last_at or view.row.started_at or self.origin.written_at

    # ------------------------------------------------------------------ results
    def _answer(self, view: RowView, row: Row) -> None:
        thread = view.thread
        waiting = thread.claim(row.call_ids, row.tool)
        if waiting is None:
            if not view.memory.register.with_keys(keys_of(row.call_ids)):
                self._skip("result_without_request")
            return
        known = view.memory.known(waiting.execution)
        if known is None or known.best == TELEMETRY:
            return
        if waiting.copy and known.flags & ANSWERED:
            return
        at = self._time_of(view, row)
        latency_s = None
        if self.times_tell and thread.size == 1 and thread.asked_at is not None:
            latency_s = at - thread.asked_at
        known.flags = (known.flags | ANSWERED) & ~UNSURE
        known.seen_at = at
        known.best = min(known.best, STATE_DB)
        draft = self.drafts.get(waiting.execution)
        before = draft or self.batch.execution(waiting.execution)
        if before is None:
            return
        found = self._answered(view, before, row, at, latency_s)
        if draft is not None:
            self.drafts[waiting.execution] = found
        elif found != before and self.batch.amend(found):
            self.amended += 1

    def _answered(
        self, view: RowView, before: Execution, row: Row, at: float, latency_s: float | None
    ) -> Execution:
        """An execution with its result; what another source had of it goes, unless ours is nothing."""
        call = Call(
            call_id="",
            tool=before.tool,
            arguments="",
            content=row.content,
            disposition=row.disposition,
        )
        verdict = self.ingest.judge(call)
        if says_less(verdict, before):
            verdict = Judged(before.outcome, before.rule, before.error_type)
        runs = verdict.outcome in _RAN and latency_s is not None and latency_s >= _LEAST_LATENCY_S
        latency_ms = latency_s * 1000.0 if runs and latency_s is not None else None
        model = view.row.model_at(at)
        return msgspec.structs.replace(
            before,
            at=min(at, self.origin.now),
            at_approximate=(before.at_approximate and before.source == "state_db")
            or row.id in self.redated,
            model=clean_model(model) if model else before.model,
            outcome=verdict.outcome,
            rule=verdict.rule,
            error_type=verdict.error_type,
            source="state_db",
            latency_ms=before.latency_ms if latency_ms is None else latency_ms,
        )
