"""The events of the database, for a process that only reads them, however often the writer comes and goes."""

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from timmyd.core.model import AdaptationEvent
from timmyd.errors import StoreError
from timmyd.store.connection import connect_read_only, guarded
from timmyd.store.queries import adaptations, adaptations_after

Found = TypeVar("Found")


class EventReader:
    """Reads events by their number; opens the database when it is there, and again after trouble."""

    def __init__(self, path: Path) -> None:
        """Look nowhere yet.

        Args:
            path: The database file.
        """
        self._path = str(path)
        self._connection: sqlite3.Connection | None = None

    def last(self) -> int:
        """The number of the newest event; 0 where there is none.

        Raises:
            StoreError: The database cannot be read now.
        """
        query = "SELECT coalesce(max(id), 0) FROM adaptations"
        return self._read(lambda connection: int(connection.execute(query).fetchone()[0]))

    def after(self, number: int, most: int) -> list[AdaptationEvent]:
        """The events with greater numbers, in their order.

        Raises:
            StoreError: The database cannot be read now.
        """
        return self._read(lambda connection: adaptations_after(connection, number, most))

    def newest(self, most: int) -> list[AdaptationEvent]:
        """The newest events, in their order.

        Raises:
            StoreError: The database cannot be read now.
        """
        return self._read(lambda connection: adaptations(connection, most))[::-1]

    def close(self) -> None:
        """Let go of the database."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def _read(self, query: Callable[[sqlite3.Connection], Found]) -> Found:
        try:
            with guarded(self._path):
                return query(self._open())
        except StoreError:
            self.close()
            raise

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = connect_read_only(self._path)
        return self._connection
