"""What was recorded, in the order in which it happened; one instant of the database, only read."""

import sqlite3
from array import array
from collections.abc import Iterator
from contextlib import closing
from heapq import merge

from timmyd.core.model import AdaptationEvent, Execution
from timmyd.store.connection import connect_read_only, guarded
from timmyd.store.queries import TurnRow, adaptations
from timmyd.store.rows import EXECUTION_COLUMNS, EXECUTION_TABLES, to_execution

_A_TIME = 500
_MARKS = ", ".join("?" * _A_TIME)


class History:
    """The executions and ends of turns since a time, by time.

    Only their numbers are held, eight bytes an execution; the rows are read as they are asked for.
    """

    def __init__(self, path: str, *, since: float = 0.0) -> None:
        """Open the database and fix the instant.

        Args:
            path: The database file.
            since: Unix seconds.

        Raises:
            StoreError: It is missing or cannot be read.
        """
        self._path = path
        self._since = since
        self._connection = connect_read_only(path)
        with guarded(path):
            self._connection.execute("PRAGMA temp_store = MEMORY")
            self._connection.execute("BEGIN")
            rows = self._connection.execute(
                "SELECT id FROM executions WHERE at >= ? ORDER BY at, id", (since,)
            )
            self._ids = array("q", (row[0] for row in rows))

    def __len__(self) -> int:
        """How many executions there are."""
        return len(self._ids)

    def close(self) -> None:
        """Let go of the database."""
        with closing(self._connection), guarded(self._path):
            self._connection.execute("ROLLBACK")

    def __iter__(self) -> Iterator[Execution | TurnRow]:
        """Executions and ends of turns, by time; of one time executions first.

        Raises:
            StoreError: The database cannot be read on.
        """
        with guarded(self._path):
            streams: list[Iterator[Execution | TurnRow]] = [self._executions(), self._turns()]
            yield from merge(*streams, key=_when)

    def adaptations(self) -> list[AdaptationEvent]:
        """What was really decided since then, oldest first."""
        with guarded(self._path):
            found = self._connection.execute(
                "SELECT count(*) FROM adaptations WHERE at >= ?", (self._since,)
            ).fetchone()
            return adaptations(self._connection, int(found[0]))[::-1]

    def _executions(self) -> Iterator[Execution]:
        query = f"SELECT {EXECUTION_COLUMNS} FROM {EXECUTION_TABLES} WHERE e.id IN ({_MARKS})"  # noqa: S608 - constants
        for start in range(0, len(self._ids), _A_TIME):
            ids = self._ids[start : start + _A_TIME]
            padded = [*ids, *[-1] * (_A_TIME - len(ids))]
            found = {row[0]: row for row in self._connection.execute(query, padded)}
            yield from (to_execution(found[number]) for number in ids)

    def _turns(self) -> Iterator[TurnRow]:
        rows: sqlite3.Cursor = self._connection.execute(
            "SELECT id, at, lineage, house, completed, interrupted, policy FROM turns"
            " WHERE at >= ? ORDER BY at, id",
            (self._since,),
        )
        for number, at, lineage, house, completed, interrupted, policy in rows:
            yield TurnRow(number, at, lineage, house, bool(completed), bool(interrupted), policy)


def _when(event: Execution | TurnRow) -> float:
    return event.at
