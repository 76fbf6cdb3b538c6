"""Registers kept in memory from one batch to the next."""

import sqlite3
from collections.abc import Mapping

from timmyd.core.counting.register import Register


class KeptRegisters:
    """The registers that the last batches saved, so that a session that grows is not loaded again.

    They are dropped when another process has written to the database.
    """

    MOST = 4

    def __init__(self) -> None:
        self._registers: dict[int, Register] = {}
        self._version = -1

    def take(self, connection: sqlite3.Connection) -> dict[int, Register]:
        """Those that still stand; to be called inside the write transaction."""
        version = int(connection.execute("PRAGMA data_version").fetchone()[0])
        if version != self._version:
            self._registers.clear()
            self._version = version
        return dict(self._registers)

    def keep(self, saved: Mapping[int, Register]) -> None:
        """Remember what a batch saved and committed."""
        for lineage, register in saved.items():
            self._registers.pop(lineage, None)
            self._registers[lineage] = register
        for lineage in list(self._registers)[: -self.MOST]:
            del self._registers[lineage]

    def clear(self) -> None:
        """Forget them: a batch was undone that may have changed them."""
        self._registers.clear()
