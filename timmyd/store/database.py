"""PatternDatabase: all that timmyd has learned, behind the verbs of the original design."""

import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from timmyd.clock import Clock, now as wall_clock
from timmyd.core.model import AdaptationEvent, Execution, ExecutionPattern, ModelPerformance, iso
from timmyd.core.ownership import UNKNOWN
from timmyd.core.tasks import TaskTable
from timmyd.errors import StoreError
from timmyd.house.keys import FALLBACK_HOUSE
from timmyd.house.outcome import OUTCOMES
from timmyd.house.shape import shape as shape_of, signature as signature_of
from timmyd.house.units import DAY_S
from timmyd.store import ledger, queries, trends, upkeep
from timmyd.store.batch import (
    SHARED,
    SKIPPED,
    Batch,
    FileRow,
    KeptRegisters,
    read_execution,
    signature_key,
)
from timmyd.store.connection import MEMORY, connect, connect_read_only, guarded, identity_of
from timmyd.store.owners import Owners
from timmyd.store.removal import remove_house
from timmyd.store.usage import ModelUsage, ProviderRequests, by_model, by_provider

_TASKS = TaskTable.default()


def default_path() -> Path:
    """Where a user's own database is (CONTRACT §4)."""
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "timmyd" / "db" / "timmy.db"


class PatternDatabase:
    """The store. One process writes (it holds the lock of the state), any may read.

    Nothing but this room sees a row or a connection: what comes out are nouns and plain numbers.
    """

    def __init__(
        self,
        db_path: str | Path | None = None,
        *,
        clock: Clock = wall_clock,
        read_only: bool = False,
        progress: Callable[[int], None] = lambda _version: None,
    ) -> None:
        """Open the database, making or migrating it as needed.

        Args:
            db_path: A file, `":memory:"`, or None for the user's own.
            clock: Gives the time of what is recorded without one, Unix seconds.
            read_only: Look only; never waits for a writer.
            progress: Told the version that a migration is about to make.

        Raises:
            StoreError: It cannot be used; `retry` says whether trying again can help.
        """
        self.path = str(default_path() if db_path is None else db_path)
        self.clock = clock
        self._combos: dict[tuple[str, ...], int] = {}
        self._kept = KeptRegisters()
        if read_only:
            self._connection = connect_read_only(self.path)
        else:
            self._connection = connect(self.path, now=clock(), progress=progress)
        self.owners = Owners(reading=self._reading, writing=self._transaction)
        self._identity = identity_of(self.path)
        self._log: tuple[int, int] | None = None

    def check_in_place(self) -> None:
        """Make sure that the file still is the one that was opened.

        SQLite would write on into a file that was removed, and all of it would be lost.

        Raises:
            StoreError: It was removed or replaced; `retry` if only its log was: nothing is lost.
        """
        if self.path != MEMORY and identity_of(self.path) != self._identity:
            raise StoreError(
                self.path,
                "it was removed or replaced while it was open",
                hint="put it back, or start again to begin with an empty one",
            )
        before, self._log = self._log, identity_of(f"{self.path}-wal")
        if before not in {None, self._log}:
            self._connection.close()  # what stands in the log that is gone goes into the file
            self._connection = connect(self.path, now=self.clock(), progress=lambda _: None)
            self._log = None
            raise StoreError(self.path, "its -wal was removed while it was open", retry=True)

    def rest(self) -> None:
        """Let go of the cached pages: there is nothing to do for a while.

        Raises:
            StoreError: The database refuses.
        """
        with self._reading() as connection:
            connection.execute("PRAGMA shrink_memory")

    def close(self) -> None:
        """Close the connection; the log is folded into the file by SQLite."""
        self._connection.close()

    # ------------------------------------------------------------------ writing
    @contextmanager
    def batch(self) -> Iterator[Batch]:
        """One write transaction: committed at the end of the block, undone if it raises.

        Raises:
            StoreError: It could not be begun or committed.
        """
        with guarded(self.path):
            batch = Batch(self._connection, self._combos, self._kept)
            try:
                yield batch
                batch.commit()
            except BaseException:
                self._kept.clear()
                batch.rollback()
                raise
            self._kept.keep(batch.saved)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with guarded(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with guarded(self.path):
            yield self._connection

    def record_execution(self, data: Mapping[str, Any]) -> int:
        """Count one execution given as a plain dict, the original's verb; returns its id.

        Args:
            data: tool; params or shape; house, owner, model, task_type; success or outcome;
                latency_ms, confidence, tokens_in, tokens_out, cost, error_type, at, policy, followed.
        """
        with self.batch() as batch:
            now = self.clock()
            execution = owned(execution_from(data, batch.new_execution(), now=now), batch, now=now)
            batch.add(execution)
        return execution.id

    def record_adaptation(self, event: AdaptationEvent, *, at: float | None = None) -> int:
        """Keep an adaptation; returns its number."""
        with self._transaction() as connection:
            return queries.insert_adaptation(connection, event, self.clock() if at is None else at)

    def save_state(self, values: Mapping[str, bytes]) -> None:
        """Keep what the engine wants to find again, all of it or none."""
        with self._transaction() as connection:
            connection.executemany("INSERT OR REPLACE INTO state VALUES (?, ?)", values.items())

    def decide(
        self,
        events: Sequence[AdaptationEvent],
        values: Mapping[str, bytes],
        *,
        at: float,
        used: Sequence[int] = (),
        orders: Sequence[tuple[int, str]] = (),
    ) -> list[int]:
        """Keep what one tick decided and all that it decided from, in one transaction.

        Args:
            events: The adaptations.
            values: The engine's state.
            at: Unix seconds.
            used: Executions that were answered late and have now served as evidence.
            orders: Orders that were carried out, each with its result.

        Returns:
            The numbers of the adaptations.
        """
        with self._transaction() as connection:
            numbers = [queries.insert_adaptation(connection, event, at) for event in events]
            many = connection.executemany
            many("INSERT OR REPLACE INTO state VALUES (?, ?)", values.items())
            many("DELETE FROM answered WHERE execution = ?", [(number,) for number in used])
            done = [(at, result, number) for number, result in orders]
            many("UPDATE orders SET done_at = ?, result = ? WHERE id = ?", done)
        return numbers

    def remove_house(self, house: str) -> int:
        """Remove all that was counted of a house; ledger and registers stay. Returns how many calls."""
        with self._transaction() as connection:
            return remove_house(connection, house)

    def prune(
        self, *, now: float, executions_s: float, patterns_s: float, hours_s: float, days_s: float
    ) -> bool:
        """Remove a slice of what is older than its time; True while there is more to remove."""
        with self._transaction() as connection:
            return upkeep.prune_slice(
                connection,
                now=now,
                executions_s=executions_s,
                patterns_s=patterns_s,
                hours_s=hours_s,
                days_s=days_s,
            )

    def add_order(self, kind: str, body: Mapping[str, Any], *, at: float) -> int:
        """Leave an order of the operator for the next tick; returns its number."""
        with self._transaction() as connection:
            cursor = connection.execute(
                "INSERT INTO orders (at, kind, body) VALUES (?, ?, ?)",
                (at, kind, json.dumps(dict(body))),
            )
            return int(cursor.lastrowid or 0)

    def open_orders(self) -> list[tuple[int, str, dict[str, Any]]]:
        """Orders that were not carried out yet, oldest first: (number, kind, body)."""
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT id, kind, body FROM orders WHERE done_at IS NULL ORDER BY id"
            )
            return [(row[0], row[1], json.loads(row[2])) for row in rows]

    # ------------------------------------------------------------------ reading
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

    def sizes(self) -> tuple[int, int]:
        """Bytes of the database file and of its write-ahead log."""
        if self.path == MEMORY:
            return 0, 0
        return _size(self.path), _size(self.path + "-wal")

    def integrity(self) -> list[str]:
        """What SQLite's own check finds wrong; empty if nothing."""
        with self._reading() as connection:
            rows = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(20)")]
        return [] if rows == ["ok"] else rows


def execution_from(data: Mapping[str, Any], execution_id: int, *, now: float) -> Execution:
    """An `Execution` from the plain dict of the original's `record_execution`.

    Raises:
        ValueError: A field that decides has a value that cannot be right.
    """
    tool = str(data.get("tool") or "unknown")
    params, shape = data.get("params"), data.get("shape")
    if shape is None:
        shape = shape_of(tool, {} if params is None else params)
    outcome = data.get("outcome")
    if outcome is None:
        success = data.get("success")
        outcome = "unknown" if success is None else ("ok" if success else "error")
    if outcome not in OUTCOMES:
        message = f"outcome: expected one of {', '.join(OUTCOMES)}, found {outcome!r}"
        raise ValueError(message)
    at, task = data.get("at"), data.get("task_type")
    return Execution(
        id=execution_id,
        at=now if at is None else min(float(at), now),
        house=str(data.get("house") or FALLBACK_HOUSE),
        owner=str(data.get("owner") or UNKNOWN),
        tool=tool,
        signature=signature_of_shape(str(shape)) if params is None else signature_of(params),
        shape=str(shape),
        model=data.get("model"),
        task_type=str(task) if task is not None else _TASKS.task_type(tool, str(shape)),
        outcome=outcome,
        rule="given",
        error_type=data.get("error_type"),
        source="telemetry",
        latency_ms=data.get("latency_ms"),
        confidence=data.get("confidence"),
        tokens_in=data.get("tokens_in"),
        tokens_out=data.get("tokens_out"),
        cost=data.get("cost"),
        policy=data.get("policy"),
        followed=data.get("followed"),
    )


@lru_cache(maxsize=4_096)
def signature_of_shape(shape: str) -> str:
    """Stands for the arguments of a call of which only the shape was told."""
    return signature_of({"shape": shape})


def owned(execution: Execution, batch: Batch, *, now: float) -> Execution:
    """An execution in the house of its owner, if it says whose it is (law 8)."""
    if execution.owner != UNKNOWN:
        execution.house = batch.house_for(execution.house, execution.owner, now=now)
    return execution


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except OSError:
        return 0
