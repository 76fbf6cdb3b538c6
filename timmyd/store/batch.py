"""The write side: what was read of sessions and the fact that it was read, in one transaction."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from timmyd.core.counting.register import Register
from timmyd.core.model import Execution
from timmyd.house.outcome import RATED
from timmyd.store import statements
from timmyd.store.owners import settle_house
from timmyd.store.registers import KeptRegisters
from timmyd.store.rollups import Fold
from timmyd.store.rows import (
    NO_HOME,
    NO_LINEAGE,
    FileRow,
    Request,
    Turn,
    insert_executions,
    read_execution,
    signature_key,
    to_row,
)

__all__ = [
    "NO_HOME",
    "NO_LINEAGE",
    "Batch",
    "FileRow",
    "KeptRegisters",
    "Request",
    "Turn",
    "read_execution",
    "signature_key",
]

SKIPPED = "skipped."
"""How the names of the counters of skipped elements begin."""

_LEARNED = RATED | {"rejected"}


class Batch:
    """An open write transaction. What it holds is folded in memory and written by `commit`.

    Registers are loaded once and kept, so several versions of one session may share a batch.

    Attributes:
        counted: How many executions are new, by house, source and outcome.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        combos: dict[tuple[str, ...], int],
        kept: KeptRegisters,
    ) -> None:
        self._connection = connection
        self._combos = combos
        self._combos_added: list[tuple[str, ...]] = []
        self._combos_used: dict[int, tuple[str, ...]] = {}
        self._names: dict[str, int] = {}
        self._houses: dict[tuple[str, str], str] = {}
        self._fold = Fold()
        self._requests: dict[tuple[int, str, str], list[float]] = {}
        self._rows: list[tuple[object, ...]] = []
        self._pending: set[int] = set()
        self._touched: dict[int, float] = {}
        self._counters: dict[str, int] = {}
        self._joins: dict[int, int] = {}
        self._files: list[FileRow] = []
        self._turns: list[Turn] = []
        connection.execute("BEGIN IMMEDIATE")
        self._registers = kept.take(connection)
        row = connection.execute("SELECT max(id) FROM executions").fetchone()
        last = connection.execute("SELECT n FROM counters WHERE name = 'last_execution'").fetchone()
        self._next_id = max(row[0] or 0, last[0] if last else 0) + 1
        self.counted: dict[tuple[str, str, str], int] = {}

    # ----------------------------------------------------------------- identity
    def new_execution(self) -> int:
        """The row id for a call that is counted now."""
        self._next_id += 1
        return self._next_id - 1

    def lineage_of(self, home: int, sid: int) -> int | None:
        """The lineage that this session id of this home belongs to."""
        query = "SELECT lineage FROM sessions WHERE home = ? AND sid = ?"
        row = self._connection.execute(query, (home, sid)).fetchone()
        if row is None:
            row = self._connection.execute(query, (self.name(NO_HOME), sid)).fetchone()
            if row is not None:
                self.enter(home, sid, int(row[0]))
        return None if row is None else int(row[0])

    def joined(self, marks: Sequence[int]) -> set[int]:
        """The lineages that left any of these marks (see `mark`)."""
        if not marks:
            return set()
        query = statements.JOINED.format(",".join("?" * len(marks)))
        found = dict(self._connection.execute(query, marks).fetchall())
        for mark in marks:
            if mark in self._joins and found.get(mark) != NO_LINEAGE:
                found[mark] = self._joins[mark]
        return {lineage for lineage in found.values() if lineage}

    def mark(self, marks: Iterable[int], lineage: int) -> None:
        """Leave marks by which a later document may be known to continue this lineage.

        With `NO_LINEAGE` the marks say nothing any more, for ever: what made them repeats.
        """
        for mark in marks:
            if self._joins.get(mark) != NO_LINEAGE:
                self._joins[mark] = lineage

    def new_lineage(self, house: str, *, started_at: float | None, now: float) -> int:
        """Open a lineage; returns its id."""
        cursor = self._connection.execute(
            "INSERT INTO lineages (house, started_at, updated_at, register) VALUES (?, ?, ?, x'')",
            (house, started_at, now),
        )
        lineage = int(cursor.lastrowid or 0)
        self._registers[lineage] = Register()
        return lineage

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

    # --------------------------------------------------------------- executions
    def add(self, execution: Execution) -> None:
        """Count an execution."""
        self._rows.append(self._row(execution))
        self._pending.add(execution.id)
        counted = (execution.house, execution.source, execution.outcome)
        self.counted[counted] = self.counted.get(counted, 0) + 1

    def amend(self, execution: Execution) -> bool:
        """Replace what stands of an execution: it was answered, or a better source shows it.

        Returns:
            False if its row was pruned: what is folded then stays as it is.
        """
        if execution.id in self._pending:
            self._flush_rows()
        before = self.execution(execution.id)
        if before is None:
            return False
        self._fold.add((self._row(before),), -1)
        row = self._row(execution)
        self._connection.execute("DELETE FROM executions WHERE id = ?", (execution.id,))
        insert_executions(self._connection, (row,))
        self._fold.add((row,))
        if before.outcome not in _LEARNED and execution.outcome in _LEARNED:
            self._connection.execute("INSERT OR IGNORE INTO answered VALUES (?)", (execution.id,))
        return True

    def execution(self, execution_id: int) -> Execution | None:
        """An execution as it stands, None if it was pruned."""
        if execution_id in self._pending:
            self._flush_rows()
        return read_execution(self._connection, execution_id)

    def add_turn(self, turn: Turn) -> None:
        """Record the end of a turn."""
        self._turns.append(turn)

    def add_request(self, request: Request) -> None:
        """Count a call of a model."""
        key = (int(request.at // 3600), request.house, request.model)
        total = self._requests.setdefault(key, [0, 0, 0, 0.0, 0, 0])
        total[0 if request.ok else 1] += 1
        if request.latency_ms is not None:
            total[2] += 1
            total[3] += request.latency_ms
        total[4] += request.tokens_in or 0
        total[5] += request.tokens_out or 0

    def count(self, counter: str, n: int = 1) -> None:
        """Add to a counter that is shown in `report` and `status`."""
        self._counters[counter] = self._counters.get(counter, 0) + n

    def skip(self, reasons: Mapping[str, int]) -> None:
        """Count elements that could not be used, by reason."""
        for reason, n in reasons.items():
            self.count(f"{SKIPPED}{reason}", n)

    def save_file(self, row: FileRow) -> None:
        """Record how a file looked when it was read, and what came of it."""
        self._files.append(row)

    def _row(self, execution: Execution) -> tuple[object, ...]:
        parts = (
            execution.house,
            execution.tool,
            execution.shape,
            execution.model or "",
            execution.task_type,
        )
        combo = self.combo(parts)
        self._combos_used[combo] = parts
        return to_row(execution, combo, self.name)

    def combo(self, parts: tuple[str, ...]) -> int:
        """The id of a combination of house, tool, shape, model and task."""
        found = self._combos.get(parts)
        if found is None:
            insert = "INSERT OR IGNORE INTO combos (house, tool, shape, model, task) VALUES (?, ?, ?, ?, ?)"
            self._connection.execute(insert, parts)
            query = (
                "SELECT id FROM combos WHERE (house, tool, shape, model, task) = (?, ?, ?, ?, ?)"
            )
            found = int(self._connection.execute(query, parts).fetchone()[0])
            self._connection.execute("INSERT OR IGNORE INTO houses (name) VALUES (?)", parts[:1])
            self._combos[parts] = found
            self._combos_added.append(parts)
        return found

    def house_for(self, claimed: str, owner: str, *, now: float) -> str:
        """The house of an owner who claims to be `claimed`; it is theirs from now on."""
        name = self._houses.get((claimed, owner))
        if name is None:
            name = settle_house(self._connection, claimed, owner, None, now=now).name
            self._houses[claimed, owner] = name
        return name

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

    # ------------------------------------------------------------------- ending
    def commit(self) -> None:
        """Write all of it and commit; on an error nothing of it stands."""
        try:
            self._flush_rows()
            self._flush_folds()
            for lineage, now in self._touched.items():
                self._connection.execute(
                    "UPDATE lineages SET register = ?, updated_at = max(updated_at, ?) WHERE id = ?",
                    (self._registers[lineage].dump(), now, lineage),
                )
            many = self._connection.executemany
            many(statements.SAVE_JOIN, sorted(self._joins.items()))
            many(statements.SAVE_FILE, [msgspec.structs.astuple(row) for row in self._files])
            many(
                "INSERT INTO turns (at, lineage, house, completed, interrupted, policy)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                self._turns,
            )
            self.count("executions", sum(self.counted.values()))
            many(statements.UPSERT_COUNTER, self._counters.items())
            self._connection.execute(
                "INSERT OR REPLACE INTO counters VALUES ('last_execution', ?)", (self._next_id - 1,)
            )
            self._connection.execute("COMMIT")
        except BaseException:
            self.rollback()
            raise

    def rollback(self) -> None:
        """Let go of all of it."""
        for parts in self._combos_added:
            self._combos.pop(parts, None)
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _flush_rows(self) -> None:
        insert_executions(self._connection, self._rows)
        self._fold.add(self._rows)
        self._rows.clear()
        self._pending.clear()

    def _flush_folds(self) -> None:
        many = self._connection.executemany
        many(statements.UPSERT_HOUR, self._fold.hour_rows())
        many(statements.UPSERT_LATENCY, self._fold.latency_rows())
        many(statements.UPSERT_PATTERN, self._fold.pattern_rows())
        many(statements.UPSERT_MODEL, self._fold.model_rows(self._model_and_task))
        many(statements.UPSERT_REQUEST, [(*key, *total) for key, total in self._requests.items()])

    def _model_and_task(self, combo: int) -> tuple[str, str]:
        _, _, _, model, task = self._combos_used[combo]
        return model, task
