"""The write side: what was read of sessions and the fact that it was read, in one transaction."""

import sqlite3
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from timmyd.core.model import SOURCE_NAMES, Execution
from timmyd.core.register import Register
from timmyd.house.outcome import OUTCOMES, RATED
from timmyd.store.rollups import HourFold

APPROXIMATE, INNER, FOLLOW_KNOWN, FOLLOWED = 1, 2, 4, 8

_OUTCOME = {name: index for index, name in enumerate(OUTCOMES)}
_SOURCE = {name: index for index, name in enumerate(SOURCE_NAMES)}
_SIGN = 1 << 63

_INSERT = """INSERT INTO executions (id, at, lineage, combo, signature, outcome, rule, error_type,
    source, flags, latency_ms, confidence, tokens_in, tokens_out, cost, policy)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_UPSERT_HOUR = """INSERT INTO hours VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (hour, combo) DO UPDATE SET ok = ok + excluded.ok, error = error + excluded.error,
    timeout = timeout + excluded.timeout, blocked = blocked + excluded.blocked,
    cancelled = cancelled + excluded.cancelled, rejected = rejected + excluded.rejected,
    unknown = unknown + excluded.unknown, latency_n = latency_n + excluded.latency_n,
    latency_ms = latency_ms + excluded.latency_ms,
    confidence_n = confidence_n + excluded.confidence_n,
    confidence = confidence + excluded.confidence"""
_UPSERT_LATENCY = """INSERT INTO latencies VALUES (?, ?, ?, ?)
    ON CONFLICT (hour, combo, bin) DO UPDATE SET n = n + excluded.n"""
_UPSERT_PATTERN = """INSERT INTO patterns VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (combo, signature) DO UPDATE SET calls = calls + excluded.calls,
    rated = rated + excluded.rated, ok = ok + excluded.ok,
    latency_n = latency_n + excluded.latency_n, latency_ms = latency_ms + excluded.latency_ms,
    confidence_n = confidence_n + excluded.confidence_n,
    confidence = confidence + excluded.confidence, last_at = max(last_at, excluded.last_at)"""
_UPSERT_MODEL = """INSERT INTO models VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (model, task) DO UPDATE SET calls = calls + excluded.calls,
    rated = rated + excluded.rated, ok = ok + excluded.ok,
    latency_n = latency_n + excluded.latency_n, latency_ms = latency_ms + excluded.latency_ms,
    tokens_n = tokens_n + excluded.tokens_n, tokens = tokens + excluded.tokens,
    cost_n = cost_n + excluded.cost_n, cost = cost + excluded.cost,
    last_at = max(last_at, excluded.last_at)"""
_UPSERT_REQUEST = """INSERT INTO requests VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (hour, house, model) DO UPDATE SET ok = ok + excluded.ok,
    failed = failed + excluded.failed, latency_n = latency_n + excluded.latency_n,
    latency_ms = latency_ms + excluded.latency_ms, tokens_in = tokens_in + excluded.tokens_in,
    tokens_out = tokens_out + excluded.tokens_out"""
_UPSERT_COUNTER = """INSERT INTO counters VALUES (?, ?)
    ON CONFLICT (name) DO UPDATE SET n = n + excluded.n"""
_SAVE_FILE = "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


class FileRow(msgspec.Struct, kw_only=True):
    """What the ledger knows of one file: how it looked when it was read, and what came of it."""

    path: bytes
    house: str
    source: str
    dev: int
    ino: int
    size: int
    mtime_ns: int
    state: str = "taken"
    reason: str | None = None
    place: str | None = None
    detail: str | None = None
    read_at: float = 0.0
    cursor: bytes | None = None


class Turn(NamedTuple):
    """The end of a turn of a house, as telemetry shows it."""

    at: float
    lineage: int
    house: str
    completed: bool
    interrupted: bool
    policy: int | None


class Request(NamedTuple):
    """One call of a model by a house, as telemetry shows it."""

    at: float
    house: str
    model: str
    ok: bool
    latency_ms: float | None
    tokens_in: int | None
    tokens_out: int | None


def signature_key(signature: str) -> int:
    """A signature's 16 hex digits as the signed 64-bit integer that SQLite stores."""
    value = int(signature, 16)
    return value - (_SIGN << 1) if value >= _SIGN else value


class Batch:
    """An open write transaction. What it holds is folded in memory and written by `commit`.

    Registers are loaded once and kept, so several versions of one session may share a batch.
    """

    def __init__(self, connection: sqlite3.Connection, combos: dict[tuple[str, ...], int]) -> None:
        self._connection = connection
        self._combos = combos
        self._combos_added: list[tuple[str, ...]] = []
        self._names: dict[str, int] = {}
        self._fold = HourFold()
        self._patterns: dict[tuple[int, int], list[float]] = {}
        self._models: dict[tuple[str, str], list[float]] = {}
        self._requests: dict[tuple[int, str, str], list[float]] = {}
        self._rows: list[tuple[object, ...]] = []
        self._pending: set[int] = set()
        self._registers: dict[int, Register] = {}
        self._touched: dict[int, float] = {}
        self._counters: dict[str, int] = {}
        self._joins: list[tuple[int, int]] = []
        self._files: list[FileRow] = []
        self._turns: list[Turn] = []
        connection.execute("BEGIN IMMEDIATE")
        row = connection.execute("SELECT max(id) FROM executions").fetchone()
        kept = connection.execute("SELECT n FROM counters WHERE name = 'last_execution'").fetchone()
        self._next_id = self._first_id = max(row[0] or 0, kept[0] if kept else 0) + 1
        self.executions = 0

    # ----------------------------------------------------------------- identity
    def new_execution(self) -> int:
        """The row id for a call that is counted now."""
        self._next_id += 1
        return self._next_id - 1

    def lineage_of(self, home: int, sid: int) -> int | None:
        """The lineage that this session id of this home belongs to."""
        row = self._connection.execute(
            "SELECT lineage FROM sessions WHERE home = ? AND sid = ?", (home, sid)
        ).fetchone()
        return None if row is None else int(row[0])

    def joined(self, mark: int) -> int | None:
        """The lineage that left this mark (see `mark`)."""
        self._flush_joins()
        query = """SELECT coalesce(l.moved_to, l.id) FROM joins j JOIN lineages l ON l.id = j.lineage
            WHERE j.mark = ?"""
        row = self._connection.execute(query, (mark,)).fetchone()
        return None if row is None else int(row[0])

    def mark(self, marks: Iterable[int], lineage: int) -> None:
        """Leave marks by which a later document may be known to continue this lineage."""
        self._joins.extend((mark, lineage) for mark in marks)

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

    def touch(self, lineage: int, now: float) -> None:
        """Save the lineage's register with this batch."""
        self._touched[lineage] = now

    # --------------------------------------------------------------- executions
    def add(self, execution: Execution) -> None:
        """Count an execution."""
        combo = self.combo(
            execution.house,
            execution.tool,
            execution.shape,
            execution.model or "",
            execution.task_type,
        )
        signature = signature_key(execution.signature)
        self._rows.append(self._row(execution, combo, signature))
        self._pending.add(execution.id)
        self._count(execution, combo, signature, 1)
        self.executions += 1

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
        old_combo = self.combo(
            before.house, before.tool, before.shape, before.model or "", before.task_type
        )
        self._count(before, old_combo, signature_key(before.signature), -1)
        combo = self.combo(
            execution.house,
            execution.tool,
            execution.shape,
            execution.model or "",
            execution.task_type,
        )
        signature = signature_key(execution.signature)
        row = self._row(execution, combo, signature)
        self._connection.execute("DELETE FROM executions WHERE id = ?", (execution.id,))
        self._connection.execute(_INSERT, row)
        self._count(execution, combo, signature, 1)
        if before.outcome not in RATED and execution.outcome in RATED:
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

    def save_file(self, row: FileRow) -> None:
        """Record how a file looked when it was read, and what came of it."""
        self._files.append(row)

    def combo(self, *parts: str) -> int:
        """The id of a combination of house, tool, shape, model and task."""
        found = self._combos.get(parts)
        if found is None:
            insert = "INSERT OR IGNORE INTO combos (house, tool, shape, model, task) VALUES (?, ?, ?, ?, ?)"
            self._connection.execute(insert, parts)
            query = (
                "SELECT id FROM combos WHERE (house, tool, shape, model, task) = (?, ?, ?, ?, ?)"
            )
            found = int(self._connection.execute(query, parts).fetchone()[0])
            self._combos[parts] = found
            self._combos_added.append(parts)
        return found

    def name(self, text: str) -> int:
        """The id of an interned string."""
        found = self._names.get(text)
        if found is None:
            self._connection.execute("INSERT OR IGNORE INTO names (name) VALUES (?)", (text,))
            query = "SELECT id FROM names WHERE name = ?"
            found = int(self._connection.execute(query, (text,)).fetchone()[0])
            self._names[text] = found
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
            self._flush_joins()
            many(_SAVE_FILE, [msgspec.structs.astuple(row) for row in self._files])
            many(
                "INSERT INTO turns (at, lineage, house, completed, interrupted, policy)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                self._turns,
            )
            self._counters["executions"] = self._counters.get("executions", 0) + self.executions
            many(_UPSERT_COUNTER, self._counters.items())
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

    def _flush_joins(self) -> None:
        if self._joins:
            self._connection.executemany("INSERT OR REPLACE INTO joins VALUES (?, ?)", self._joins)
            self._joins.clear()

    def _flush_rows(self) -> None:
        self._connection.executemany(_INSERT, self._rows)
        self._rows.clear()
        self._pending.clear()

    def _flush_folds(self) -> None:
        many = self._connection.executemany
        many(_UPSERT_HOUR, self._fold.hour_rows())
        many(_UPSERT_LATENCY, self._fold.latency_rows())
        many(_UPSERT_PATTERN, [(*key, *total) for key, total in self._patterns.items()])
        many(_UPSERT_MODEL, [(*key, *total) for key, total in self._models.items()])
        many(_UPSERT_REQUEST, [(*key, *total) for key, total in self._requests.items()])

    def _row(self, execution: Execution, combo: int, signature: int) -> tuple[object, ...]:
        flags = (APPROXIMATE if execution.at_approximate else 0) | (INNER if execution.inner else 0)
        if execution.followed is not None:
            flags |= FOLLOW_KNOWN | (FOLLOWED if execution.followed else 0)
        error_type = execution.error_type
        return (
            execution.id,
            execution.at,
            execution.session,
            combo,
            signature,
            _OUTCOME[execution.outcome],
            self.name(execution.rule),
            self.name(error_type) if error_type is not None else None,
            _SOURCE[execution.source],
            flags,
            execution.latency_ms,
            execution.confidence,
            execution.tokens_in,
            execution.tokens_out,
            execution.cost,
            execution.policy,
        )

    def _count(self, execution: Execution, combo: int, signature: int, sign: int) -> None:
        latency_ms, confidence = execution.latency_ms, execution.confidence
        self._fold.add(
            at=execution.at,
            combo=combo,
            outcome=execution.outcome,
            latency_ms=latency_ms,
            confidence=confidence,
            sign=sign,
        )
        rated = sign if execution.outcome in RATED else 0
        ok = sign if execution.outcome == "ok" else 0
        latency_n, latency = (0, 0.0) if latency_ms is None else (sign, sign * latency_ms)
        total = self._patterns.get((combo, signature))
        if total is None:
            total = self._patterns[combo, signature] = [0, 0, 0, 0, 0.0, 0, 0.0, 0.0]
        total[0] += sign
        total[1] += rated
        total[2] += ok
        total[3] += latency_n
        total[4] += latency
        if confidence is not None:
            total[5] += sign
            total[6] += sign * confidence
        total[7] = max(total[7], execution.at)
        if execution.model:
            self._count_model(execution, sign, rated, ok, latency_n, latency)

    def _count_model(
        self, execution: Execution, sign: int, rated: int, ok: int, latency_n: int, latency: float
    ) -> None:
        key = (execution.model or "", execution.task_type)
        total = self._models.get(key)
        if total is None:
            total = self._models[key] = [0, 0, 0, 0, 0.0, 0, 0, 0, 0.0, 0.0]
        total[0] += sign
        total[1] += rated + (sign if execution.outcome == "rejected" else 0)
        total[2] += ok
        total[3] += latency_n
        total[4] += latency
        if execution.tokens_in is not None or execution.tokens_out is not None:
            total[5] += sign
            total[6] += sign * ((execution.tokens_in or 0) + (execution.tokens_out or 0))
        if execution.cost is not None:
            total[7] += sign
            total[8] += sign * execution.cost
        total[9] = max(total[9], execution.at)


EXECUTION_COLUMNS = """e.id, e.at, e.lineage, c.house, c.tool, c.shape, c.model, c.task,
    e.signature, e.outcome, r.name, t.name, e.source, e.flags, e.latency_ms, e.confidence,
    e.tokens_in, e.tokens_out, e.cost, e.policy"""
EXECUTION_TABLES = """executions e JOIN combos c ON c.id = e.combo JOIN names r ON r.id = e.rule
    LEFT JOIN names t ON t.id = e.error_type"""


def read_execution(connection: sqlite3.Connection, execution_id: int) -> Execution | None:
    """One execution, None if there is none with this id."""
    row = connection.execute(
        f"SELECT {EXECUTION_COLUMNS} FROM {EXECUTION_TABLES} WHERE e.id = ?",  # noqa: S608 - constants
        (execution_id,),
    ).fetchone()
    return None if row is None else to_execution(row)


def to_execution(row: tuple[Any, ...]) -> Execution:
    """An `Execution` from a row of `EXECUTION_COLUMNS`."""
    (id_, at, lineage, house, tool, shape, model, task, signature, outcome, rule, error_type,
     source, flags, latency_ms, confidence, tokens_in, tokens_out, cost, policy) = row  # fmt: skip
    bits = int(flags)
    number = int(signature)
    return Execution(
        id=id_,
        at=at,
        at_approximate=bool(bits & APPROXIMATE),
        session=lineage,
        house=house,
        tool=tool,
        signature=f"{number & ((_SIGN << 1) - 1):016x}",
        shape=shape,
        model=model or None,
        task_type=task,
        outcome=OUTCOMES[outcome],
        rule=rule,
        error_type=error_type,
        source=SOURCE_NAMES[source],
        latency_ms=latency_ms,
        confidence=confidence,
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        cost=cost,
        policy=policy,
        followed=bool(bits & FOLLOWED) if bits & FOLLOW_KNOWN else None,
        inner=bool(bits & INNER),
    )
