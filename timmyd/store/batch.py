"""The write side: what was read of sessions and the fact that it was read, in one transaction."""

import sqlite3
from collections.abc import Mapping

import msgspec

from timmyd.core.model import Execution
from timmyd.house.outcome import RATED
from timmyd.store import statements
from timmyd.store.lineages import LineageRows
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
from timmyd.store.usage import Used, save as save_usage

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

SHARED = "shared."
"""The same of when two houses last showed one session, Unix seconds."""

_BETWEEN = " of "

_LEARNED = RATED | {"rejected"}


class Batch(LineageRows):
    """An open write transaction. What it holds is folded in memory and written by `commit`.

    Attributes:
        counted: How many executions are new, by house, source, outcome, tool and model.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        combos: dict[tuple[str, ...], int],
        kept: KeptRegisters,
    ) -> None:
        super().__init__(connection, kept)
        self._combos = combos
        self._combos_added: list[tuple[str, ...]] = []
        self._combos_used: dict[int, tuple[str, ...]] = {}
        self._houses: dict[tuple[str, str], str] = {}
        self._fold = Fold()
        self._requests: dict[tuple[int, str, str], list[float]] = {}
        self._providers: dict[tuple[int, str, str, str], int] = {}
        self._rows: list[tuple[object, ...]] = []
        self._pending: set[int] = set()
        self._counters: dict[str, int] = {}
        self._set: dict[str, int] = {}
        self._files: list[FileRow] = []
        self._turns: list[Turn] = []
        self._used: list[Used] = []
        row = connection.execute("SELECT max(id) FROM executions").fetchone()
        last = connection.execute("SELECT n FROM counters WHERE name = 'last_execution'").fetchone()
        self._next_id = max(row[0] or 0, last[0] if last else 0) + 1
        self.counted: dict[tuple[str, str, str, str, str | None], int] = {}

    # ----------------------------------------------------------------- identity
    def new_execution(self) -> int:
        """The row id for a call that is counted now."""
        self._next_id += 1
        return self._next_id - 1

    # --------------------------------------------------------------- executions
    def add(self, execution: Execution) -> None:
        """Count an execution."""
        self._rows.append(self._row(execution))
        self._pending.add(execution.id)
        e = execution
        counted = (e.house, e.source, e.outcome, e.tool, e.model)
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
        if request.provider:
            where = (*key[:2], request.provider, "" if request.ok else request.error_class)
            self._providers[where] = self._providers.get(where, 0) + 1

    def use(self, used: Used) -> None:
        """Count tokens and money that a session used."""
        self._used.append(used)

    def count(self, counter: str, n: int = 1) -> None:
        """Add to a counter that is shown in `report` and `status`."""
        self._counters[counter] = self._counters.get(counter, 0) + n

    def skip(self, reasons: Mapping[str, int]) -> None:
        """Count elements that could not be used, by reason."""
        for reason, n in reasons.items():
            if n:
                self.count(f"{SKIPPED}{reason}", n)

    def share(self, house: str, keeper: str, *, at: float) -> None:
        """Note when a house showed a session that another one showed first, whose it stays."""
        self._set[f"{SHARED}{house}{_BETWEEN}{keeper}"] = int(at)

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

    # ------------------------------------------------------------------- ending
    def commit(self) -> None:
        """Write all of it and commit; on an error nothing of it stands."""
        try:
            self._flush_rows()
            self._flush_folds()
            self.save_lineages()
            many = self._connection.executemany
            many(statements.SAVE_FILE, [msgspec.structs.astuple(row) for row in self._files])
            many(
                "INSERT INTO turns (at, lineage, house, completed, interrupted, policy)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                self._turns,
            )
            save_usage(self._connection, self._used)
            self.count("executions", sum(self.counted.values()))
            many(statements.UPSERT_COUNTER, self._counters.items())
            self._set["last_execution"] = self._next_id - 1
            many("INSERT OR REPLACE INTO counters VALUES (?, ?)", self._set.items())
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
        many(statements.UPSERT_PROVIDER, [(*key, n) for key, n in self._providers.items()])

    def _model_and_task(self, combo: int) -> tuple[str, str]:
        _, _, _, model, task = self._combos_used[combo]
        return model, task
