"""LineageRows in an open transaction: whose session ids, which marks, what is known of their calls."""

import sqlite3
from collections.abc import Iterable, Sequence

from timmyd.core.counting.register import Register
from timmyd.store import statements
from timmyd.store.registers import KeptRegisters
from timmyd.store.rows import NO_HOME, NO_LINEAGE

_MOST_MARKS = 512


class LineageRows:
    """The part of a batch that says which sessions are one conversation.

    Registers are loaded once and kept, so several versions of one session may share a batch.
    """

    def __init__(self, connection: sqlite3.Connection, kept: KeptRegisters) -> None:
        self._connection = connection
        self._names: dict[str, int] = {}
        self._touched: dict[int, float] = {}
        self._joins: dict[int, int] = {}
        self._houses_of: dict[int, str] = {}
        self._homes: dict[int, bool] = {}
        connection.execute("BEGIN IMMEDIATE")
        self._registers = kept.take(connection)

    def name(self, text: str) -> int:
        """The id of an interned string; bytes of a path that are no UTF-8 are escaped."""
        found = self._names.get(text)
        if found is None:
            key, text = text, text.encode("utf-8", "backslashreplace").decode()
            self._connection.execute("INSERT OR IGNORE INTO names (name) VALUES (?)", (text,))
            query = "SELECT id FROM names WHERE name = ?"
            found = int(self._connection.execute(query, (text,)).fetchone()[0])
            self._names[key] = found
        return found

    # ------------------------------------------------------------------ sessions
    def lineage_of(self, home: int, sid: int) -> int | None:
        """The lineage that this session id of this home belongs to."""
        query = "SELECT lineage FROM sessions WHERE home = ? AND sid = ?"
        row = self._connection.execute(query, (home, sid)).fetchone()
        if row is None:
            row = self._connection.execute(query, (self.name(NO_HOME), sid)).fetchone()
            if row is not None:
                self.enter(home, sid, int(row[0]))
        return None if row is None else int(row[0])

    def anywhere(self, sid: int) -> int | None:
        """The one lineage that this session id belongs to in whatever home; None if there are more."""
        homes = self._connection.execute("SELECT DISTINCT home FROM sessions").fetchall()
        query = "SELECT lineage FROM sessions WHERE home = ? AND sid = ?"
        found = {
            row[0]
            for (home,) in homes
            if (row := self._connection.execute(query, (home, sid)).fetchone()) is not None
        }
        return int(found.pop()) if len(found) == 1 else None

    def has_sessions(self, home: int) -> bool:
        """Whether any session is known under the name of this home."""
        known = self._homes.get(home)
        if known is None:
            query = "SELECT 1 FROM sessions WHERE home = ? LIMIT 1"
            known = self._connection.execute(query, (home,)).fetchone() is not None
            self._homes[home] = known
        return known

    def new_lineage(self, house: str, *, started_at: float | None, now: float) -> int:
        """Open a lineage; returns its id."""
        cursor = self._connection.execute(
            "INSERT INTO lineages (house, started_at, updated_at, register) VALUES (?, ?, ?, x'')",
            (house, started_at, now),
        )
        lineage = int(cursor.lastrowid or 0)
        self._registers[lineage] = Register()
        self._houses_of[lineage] = house
        return lineage

    def house_of(self, lineage: int) -> str | None:
        """The house that first showed the lineage: its calls count for it."""
        house = self._houses_of.get(lineage)
        if house is None:
            query = "SELECT house FROM lineages WHERE id = ?"
            row = self._connection.execute(query, (lineage,)).fetchone()
            if row is None:
                return None
            house = self._houses_of[lineage] = str(row[0])
        return house

    def enter(self, home: int, sid: int, lineage: int) -> None:
        """Record that a session id belongs to a lineage."""
        self._connection.execute("INSERT INTO sessions VALUES (?, ?, ?)", (home, sid, lineage))

    def merge(self, lineage: int, into: int, now: float) -> None:
        """Let one lineage continue another: its session ids and its calls belong there now."""
        self.register(into).absorb(self.register(lineage))
        self._registers[lineage] = Register()
        self.touch(into, now)
        self.touch(lineage, now)
        self._joins = {
            mark: into if marked == lineage else marked for mark, marked in self._joins.items()
        }
        execute = self._connection.execute
        execute("UPDATE sessions SET lineage = ? WHERE lineage = ?", (into, lineage))
        execute("UPDATE lineages SET moved_to = ? WHERE moved_to = ?", (into, lineage))
        execute("UPDATE lineages SET moved_to = ? WHERE id = ?", (into, lineage))

    def now_in(self, lineage: int) -> int:
        """The lineage that this one has become part of, itself where it has not."""
        query = "SELECT coalesce(moved_to, id) FROM lineages WHERE id = ?"
        row = self._connection.execute(query, (lineage,)).fetchone()
        return lineage if row is None else int(row[0])

    # --------------------------------------------------------------------- marks
    def marked(self, marks: Sequence[int]) -> dict[int, int]:
        """Which lineage left each of these marks (see `mark`); those that tell nothing are left out."""
        found: dict[int, int] = {}
        for first in range(0, len(marks), _MOST_MARKS):
            some = [*marks[first : first + _MOST_MARKS]]
            # a statement for each power of two is prepared once, not one for each number
            some += some[:1] * ((1 << (len(some) - 1).bit_length()) - len(some))
            query = statements.JOINED.format(",".join("?" * len(some)))
            found.update(self._connection.execute(query, some).fetchall())
        if self._joins:
            for mark in marks:
                if mark in self._joins and found.get(mark) != NO_LINEAGE:
                    found[mark] = self._joins[mark]
        return {mark: lineage for mark, lineage in found.items() if lineage}

    def mark(self, marks: Iterable[int], lineage: int) -> None:
        """Leave marks by which a later sighting may be known to continue this lineage.

        With `NO_LINEAGE` the marks say nothing any more, for ever: what made them repeats.
        """
        for mark in marks:
            if self._joins.get(mark) != NO_LINEAGE:
                self._joins[mark] = lineage

    # ----------------------------------------------------------------- registers
    def register(self, lineage: int) -> Register:
        """The register of a lineage; changes to it are saved once it is `touch`ed."""
        register = self._registers.get(lineage)
        if register is None:
            row = self._connection.execute(
                "SELECT register FROM lineages WHERE id = ?", (lineage,)
            ).fetchone()
            register = self._registers[lineage] = Register(row[0] or None if row else None)
        return register

    @property
    def saved(self) -> dict[int, Register]:
        """The registers that this batch saves."""
        return {lineage: self._registers[lineage] for lineage in self._touched}

    def touch(self, lineage: int, now: float) -> None:
        """Save the lineage's register with this batch."""
        self._touched[lineage] = now

    def save_lineages(self) -> None:
        """Write the registers and the marks."""
        for lineage, now in self._touched.items():
            self._connection.execute(
                "UPDATE lineages SET register = ?, updated_at = max(updated_at, ?) WHERE id = ?",
                (self._registers[lineage].dump(), now, lineage),
            )
        self._connection.executemany(statements.SAVE_JOIN, sorted(self._joins.items()))
