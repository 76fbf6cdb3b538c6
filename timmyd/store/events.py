"""The events of the database, for a process that only reads them, however often the writer comes and goes."""

import sqlite3
from contextlib import suppress
from pathlib import Path

from timmyd.core.model import AdaptationEvent
from timmyd.errors import StoreError
from timmyd.store.connection import connect_read_only, guarded
from timmyd.store.queries import adaptations_after


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
        return self._query("SELECT coalesce(max(id), 0) FROM adaptations")

    def after(self, number: int, most: int) -> list[AdaptationEvent]:
        """The events with greater numbers, in their order.

        Raises:
            StoreError: The database cannot be read now.
        """
        try:
            with guarded(self._path):
                return adaptations_after(self._open(), number, most)
        except StoreError:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the database."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def _query(self, query: str) -> int:
        try:
            with guarded(self._path):
                return int(self._open().execute(query).fetchone()[0])
        except StoreError:
            self.close()
            raise

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = connect_read_only(self._path)
        return self._connection
