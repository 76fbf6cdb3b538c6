"""PatternDatabase: all that timmyd has learned, behind the verbs of the original design."""

import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from timmyd.clock import Clock, now as wall_clock
from timmyd.core.model import AdaptationEvent
from timmyd.errors import StoreError
from timmyd.store import queries, upkeep
from timmyd.store.batch import (
    Batch,
    KeptRegisters,
)
from timmyd.store.connection import MEMORY, connect, connect_read_only, guarded, identity_of
from timmyd.store.given import execution_from, owned
from timmyd.store.owners import Owners
from timmyd.store.questions import Questions
from timmyd.store.removal import remove_house


def default_path() -> Path:
    """Where a user's own database is (CONTRACT §4)."""
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "timmyd" / "db" / "timmy.db"


class PatternDatabase(Questions):
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


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except OSError:
        return 0
