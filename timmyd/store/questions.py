"""What can be asked of the database, as plain numbers and nouns; nothing here writes."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from timmyd.clock import Clock
from timmyd.core.model import AdaptationEvent, Execution, ExecutionPattern, ModelPerformance, iso
from timmyd.house.outcome import OUTCOMES
from timmyd.house.shape import signature as signature_of
from timmyd.house.units import DAY_S
from timmyd.store import ledger, queries, trends
from timmyd.store.batch import SHARED, SKIPPED, FileRow, read_execution, signature_key
from timmyd.store.usage import ModelUsage, ProviderRequests, by_model, by_provider


class Questions:
    """The questions that a store answers.

    Attributes:
        clock: Gives Unix seconds.
    """

    clock: Clock
    _reading: Callable[[], AbstractContextManager[sqlite3.Connection]]

    def get_pattern(
        self, tool: str, house: str, params: Mapping[str, Any] | None = None
    ) -> ExecutionPattern | None:
        """What is known of a tool in a house: of one exact call, or without `params` of all of them."""
        signature = None if params is None else signature_of(params)
        key = None if signature is None else signature_key(signature)
        with self._reading() as connection:
            row = queries.pattern(connection, tool, house, key)
        if row is None:
            return None
        calls, rated, ok, latency_n, latency, confidence_n, confidence, last_at, model = row
        return ExecutionPattern(
            tool=tool,
            param_signature=signature or "*",
            house=house,
            model=model or None,
            success_rate=ok / rated if rated else None,
            avg_latency_ms=latency / latency_n if latency_n else None,
            avg_confidence=confidence / confidence_n if confidence_n else None,
            sample_count=calls,
            last_executed=iso(last_at),
        )

    def get_model_performance(self, task_type: str | None = None) -> list[ModelPerformance]:
        """How each model does, by type of task."""
        with self._reading() as connection:
            return [
                ModelPerformance(
                    model=model,
                    task_type=task,
                    total_calls=calls,
                    success_count=ok,
                    success_rate=ok / rated if rated else None,
                    avg_latency_ms=latency / latency_n if latency_n else None,
                    avg_tokens=tokens / tokens_n if tokens_n else None,
                    cost_per_call=cost / cost_n if cost_n else None,
                    last_used=iso(last_at),
                )
                for model, task, calls, rated, ok, latency_n, latency, tokens_n, tokens, cost_n, cost, last_at in queries.models(
                    connection, task_type
                )
            ]

    def get_best_model(self, task_type: str, min_samples: int = 5) -> str | None:
        """The model whose rate at this type of task is surest to be good, None below the minimum.

        Ranked by the lower end of Wilson's interval, so that 1 of 1 does not beat 99 of 100.
        """
        with self._reading() as connection:
            return queries.best_model(connection, task_type, min_samples)

    def get_house_performance(self, house: str, days: float = 7) -> dict[str, Any]:
        """The sums of a house over the last `days` days; an empty house has rate None."""
        since = self.clock() - days * DAY_S
        with self._reading() as connection:
            sums = queries.house_sums(connection, house, since)
        counts = dict(zip(OUTCOMES, sums[: len(OUTCOMES)], strict=True))
        latency_n, latency, confidence_n, confidence = sums[len(OUTCOMES) :]
        rated = counts["ok"] + counts["error"] + counts["timeout"]
        return {
            "house": house,
            "period_days": days,
            "total_executions": sum(counts.values()),
            "successes": counts["ok"],
            "success_rate": counts["ok"] / rated if rated else None,
            "avg_latency_ms": latency / latency_n if latency_n else None,
            "avg_confidence": confidence / confidence_n if confidence_n else None,
            "rated": rated,
        }

    def get_adaptations(self, limit: int = 20) -> list[AdaptationEvent]:
        """The adaptations, newest first."""
        with self._reading() as connection:
            return queries.adaptations(connection, limit)

    def houses(self) -> list[str]:
        """All houses that anything was counted of."""
        with self._reading() as connection:
            return queries.houses(connection)

    def lineages(self) -> int:
        """How many lineages of sessions are known."""
        with self._reading() as connection:
            return queries.lineages(connection)

    def tool_counts(self, since: float) -> list[queries.ToolCount]:
        """Counts and latency histogram of each (house, tool, shape, model, task) since a time."""
        with self._reading() as connection:
            return queries.tool_counts(connection, since)

    def by_hour(self, since: float) -> list[trends.HourCount]:
        """Rated calls of every tool in every house by the hour, since a time."""
        with self._reading() as connection:
            return trends.by_hour(connection, since)

    def models_by_day(self, since: float) -> list[trends.DayCount]:
        """Rated calls of every model by the day, since a time."""
        with self._reading() as connection:
            return trends.models_by_day(connection, since)

    def turn_counts(self, since: float) -> dict[str, tuple[int, int]]:
        """For each house how many turns ended since a time, and how many of them were completed."""
        with self._reading() as connection:
            return queries.turn_counts(connection, since)

    def executions_after(self, execution_id: int, limit: int) -> list[Execution]:
        """Executions with a greater id, in the order of first sight."""
        with self._reading() as connection:
            return queries.executions_after(connection, execution_id, limit)

    def executions_between(self, after: int, upto: int) -> list[Execution]:
        """Executions with ids in (after, upto], by id."""
        with self._reading() as connection:
            return queries.executions_between(connection, after, upto)

    def session_tallies(self, since: float, until: float) -> list[tuple[int, str, str, int, int]]:
        """(lineage, house, tool, successes, rated) over a time, of the newest executions."""
        with self._reading() as connection:
            return queries.session_tallies(connection, since, until)

    def execution(self, execution_id: int) -> Execution | None:
        """One execution, None if it is not kept any more."""
        with self._reading() as connection:
            return read_execution(connection, execution_id)

    def answered_late(self, up_to: int, limit: int) -> list[int]:
        """Ids, up to one, of executions whose outcome came after they were read as evidence."""
        with self._reading() as connection:
            return queries.answered_late(connection, up_to, limit)

    def answered_between(self, after: int, upto: int) -> list[int]:
        """The same with ids in (after, upto]: what a tick that covers them takes with its answer."""
        with self._reading() as connection:
            return queries.answered_between(connection, after, upto)

    def request_totals(self, since: float) -> list[tuple[int, str, str, int, int]]:
        """(hour, house, model, answered, failed) of the models' own calls since the hour of a time."""
        with self._reading() as connection:
            return queries.request_totals(connection, since)

    def turns_between(self, after: int, upto: int) -> list[queries.TurnRow]:
        """Ends of turns with ids in (after, upto]."""
        with self._reading() as connection:
            return queries.turns_between(connection, after, upto)

    def last_turn_id(self, after: int, limit: int) -> int:
        """The id of the last end of a turn, at most `limit` beyond `after`."""
        with self._reading() as connection:
            row = connection.execute("SELECT max(id) FROM turns").fetchone()
            return min(max(after, row[0] or 0), after + limit)

    def last_execution_id(self) -> int:
        """The highest id that an execution ever had."""
        return self.counters().get("last_execution", 0)

    def counters(self) -> dict[str, int]:
        """All counters, such as `duplicates` and `executions`."""
        with self._reading() as connection:
            return dict(connection.execute("SELECT name, n FROM counters"))

    def usage(self, since: float, prices: Mapping[str, tuple[float, float]]) -> list[ModelUsage]:
        """What each house used of each model since a time, priced by a million tokens in and out."""
        with self._reading() as connection:
            return by_model(connection, since, prices)

    def providers(self, since: float) -> list[ProviderRequests]:
        """What came of the requests of each house to each provider since the hour of a time."""
        with self._reading() as connection:
            return by_provider(connection, since)

    def skipped(self) -> dict[str, int]:
        """How many elements could not be used, by reason."""
        counters = self.counters().items()
        return {name[len(SKIPPED) :]: n for name, n in counters if name.startswith(SKIPPED)}

    def shared_sessions(self) -> dict[tuple[str, str], int]:
        """When (a house, the house that keeps it) last showed one session, Unix seconds."""
        names = {name: n for name, n in self.counters().items() if name.startswith(SHARED)}
        pairs = {name: name[len(SHARED) :].partition(" of ") for name in names}
        return {(pairs[name][0], pairs[name][2]): n for name, n in names.items()}

    def homes(self) -> list[str]:
        """All homes that a session was seen in."""
        with self._reading() as connection:
            return queries.homes(connection)

    def states(self) -> dict[str, bytes]:
        """All that `save_state` kept."""
        with self._reading() as connection:
            return dict(connection.execute("SELECT key, value FROM state"))

    def state(self, key: str) -> bytes | None:
        """One thing that `save_state` kept."""
        with self._reading() as connection:
            row = connection.execute("SELECT value FROM state WHERE key = ?", (key,)).fetchone()
            return None if row is None else bytes(row[0])

    def files(self, states: Sequence[str] = ()) -> list[FileRow]:
        """The ledger of files, all or those in the given states."""
        with self._reading() as connection:
            return queries.files(connection, states)

    def file_looks(self) -> Iterator[tuple[bytes, tuple[int, int, int, int]]]:
        """How each file looked when it was last read: (device, inode, size, mtime in ns)."""
        return ledger.file_looks(self._reading)

    def file(self, path: bytes) -> FileRow | None:
        """The ledger's row of one file."""
        with self._reading() as connection:
            return queries.file(connection, path)
