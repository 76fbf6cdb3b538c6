"""What the tables hold, as nouns: executions to rows and back, files, turns, requests."""

import sqlite3
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import msgspec

from timmyd.core.model import SOURCE_NAMES, Execution
from timmyd.house.outcome import OUTCOMES
from timmyd.store import statements

NO_LINEAGE = 0
"""Stands in a mark that tells nothing because it repeats."""

APPROXIMATE, INNER, FOLLOW_KNOWN, FOLLOWED = 1, 2, 4, 8

NO_HOME = "(imported)"
"""The home of imported sessions whose home is not known; the first home that shows them has them."""

_OUTCOME = {name: index for index, name in enumerate(OUTCOMES)}
_SOURCE = {name: index for index, name in enumerate(SOURCE_NAMES)}
_SIGN = 1 << 63
_FIRST_NUMBER = 10
_NO_NUMBERS = (None,) * 6


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
    """One call of a model by a house, as telemetry shows it.

    Attributes:
        provider: Where it went; empty where nobody told.
        error_class: Why it failed (`rate_limit`, `timeout`, …), `unknown` where nobody told.
    """

    at: float
    house: str
    model: str
    ok: bool
    latency_ms: float | None
    tokens_in: int | None
    tokens_out: int | None
    provider: str = ""
    error_class: str = "unknown"


def signature_key(signature: str) -> int:
    """A signature's 16 hex digits as the signed 64-bit integer that SQLite stores."""
    value = int(signature, 16)
    return value - (_SIGN << 1) if value >= _SIGN else value


def to_row(execution: Execution, combo: int, name: Callable[[str], int]) -> tuple[object, ...]:
    """The row of an execution; `name` gives the id of an interned string."""
    flags = APPROXIMATE if execution.at_approximate else 0
    if execution.inner:
        flags |= INNER
    if execution.followed is not None:
        flags |= FOLLOW_KNOWN | (FOLLOWED if execution.followed else 0)
    error_type = execution.error_type
    return (
        execution.id,
        execution.at,
        execution.session,
        combo,
        signature_key(execution.signature),
        _OUTCOME[execution.outcome],
        name(execution.rule),
        name(error_type) if error_type is not None else 0,
        _SOURCE[execution.source],
        flags,
        execution.latency_ms,
        execution.confidence,
        execution.tokens_in,
        execution.tokens_out,
        execution.cost,
        execution.policy,
    )


def insert_executions(connection: sqlite3.Connection, rows: Iterable[tuple[Any, ...]]) -> None:
    """Write rows of `to_row`."""
    plain, measured = [], []
    for row in rows:
        if row[_FIRST_NUMBER:] == _NO_NUMBERS:
            plain.append(row[:_FIRST_NUMBER])
        else:
            measured.append(row)
    connection.executemany(statements.INSERT_PLAIN, plain)
    connection.executemany(statements.INSERT, measured)


EXECUTION_COLUMNS = """e.id, e.at, e.lineage, c.house, c.tool, c.shape, c.model, c.task,
    e.signature, e.outcome, r.name, t.name, e.source, e.flags, e.latency_ms, e.confidence,
    e.tokens_in, e.tokens_out, e.cost, e.policy, coalesce(o.owner, 'unknown')"""
EXECUTION_TABLES = """executions e JOIN combos c ON c.id = e.combo JOIN names r ON r.id = e.rule
    LEFT JOIN names t ON t.id = e.error_type LEFT JOIN houses o ON o.name = c.house"""


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
     source, flags, latency_ms, confidence, tokens_in, tokens_out, cost, policy, owner) = row  # fmt: skip
    bits = int(flags)
    number = int(signature)
    return Execution(
        id=id_,
        at=at,
        at_approximate=bool(bits & APPROXIMATE),
        session=lineage,
        house=house,
        owner=owner,
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
