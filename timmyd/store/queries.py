"""The read side: plain numbers and nouns out of the tables."""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from timmyd.core.detect import wilson_interval
from timmyd.core.model import AdaptationEvent, Execution, iso
from timmyd.house.outcome import OUTCOMES
from timmyd.house.units import HOUR_S
from timmyd.store.rollups import BINS, HOUR_COLUMNS
from timmyd.store.rows import EXECUTION_COLUMNS, EXECUTION_TABLES, FileRow, to_execution

_SUMS = ", ".join(f"coalesce(sum(h.{column}), 0)" for column in HOUR_COLUMNS)
_PATTERN_SUMS = """sum(p.calls), sum(p.rated), sum(p.ok), sum(p.latency_n), sum(p.latency_ms),
    sum(p.confidence_n), sum(p.confidence), max(p.last_at),
    CASE WHEN count(DISTINCT c.model) = 1 THEN min(c.model) ELSE '' END"""
_FILE_COLUMNS = (
    "path, house, source, dev, ino, size, mtime_ns, state, reason, place, detail, read_at, cursor"
)


class ToolCount(NamedTuple):
    """Sums of one combination over a time: counts by outcome, sums, and a latency histogram."""

    house: str
    tool: str
    shape: str
    model: str
    task: str
    counts: tuple[int, ...]
    latency_n: int
    latency_ms: float
    confidence_n: int
    confidence: float
    histogram: tuple[int, ...]


class TurnRow(NamedTuple):
    """The end of a turn."""

    id: int
    at: float
    session: int
    house: str
    completed: bool
    interrupted: bool
    policy: int | None


def pattern(
    connection: sqlite3.Connection, tool: str, house: str, signature: int | None
) -> Sequence[Any] | None:
    """Sums over the patterns of a tool in a house, over all models; None if there are none."""
    where = "c.tool = ? AND c.house = ?" + ("" if signature is None else " AND p.signature = ?")
    values: list[Any] = [tool, house] if signature is None else [tool, house, signature]
    row = connection.execute(
        f"SELECT {_PATTERN_SUMS} FROM patterns p JOIN combos c ON c.id = p.combo WHERE {where}",  # noqa: S608 - constants
        values,
    ).fetchone()
    return None if row is None or not row[0] else tuple(row)


def models(connection: sqlite3.Connection, task: str | None) -> list[tuple[Any, ...]]:
    """All rows of the models' performance, or those of one type of task."""
    query = "SELECT * FROM models WHERE ? IS NULL OR task = ? ORDER BY task, calls DESC"
    return connection.execute(query, (task, task)).fetchall()


def best_model(connection: sqlite3.Connection, task: str, min_samples: int) -> str | None:
    """The model with the highest lower end of Wilson's interval among those with enough calls."""
    rows = connection.execute(
        "SELECT model, ok, rated FROM models WHERE task = ? AND rated >= ? AND rated > 0",
        (task, min_samples),
    ).fetchall()
    ranked = [(wilson_interval(int(ok), int(rated))[0], rated, model) for model, ok, rated in rows]
    return max(ranked)[2] if ranked else None


def house_sums(connection: sqlite3.Connection, house: str, since: float) -> tuple[Any, ...]:
    """The sums of `HOUR_COLUMNS` of a house since a time."""
    row = connection.execute(
        f"SELECT {_SUMS} FROM hours h JOIN combos c ON c.id = h.combo WHERE c.house = ? AND h.hour >= ?",  # noqa: S608 - constants
        (house, int(since // HOUR_S)),
    ).fetchone()
    return tuple(row)


def houses(connection: sqlite3.Connection) -> list[str]:
    """All houses with an execution, but those that were forgotten."""
    query = """SELECT DISTINCT house FROM combos
        WHERE house NOT IN (SELECT name FROM houses WHERE state = 'forgotten') ORDER BY house"""
    return [row[0] for row in connection.execute(query)]


def tool_counts(connection: sqlite3.Connection, since: float) -> list[ToolCount]:
    """Sums of every combination since a time, most calls first."""
    hour = int(since // HOUR_S)
    histograms: dict[int, list[int]] = {}
    bins = connection.execute(
        "SELECT combo, bin, sum(n) FROM latencies WHERE hour >= ? GROUP BY combo, bin", (hour,)
    )
    for combo, index, n in bins:
        histograms.setdefault(combo, [0] * BINS)[index] = n
    rows = connection.execute(
        f"SELECT c.id, c.house, c.tool, c.shape, c.model, c.task, {_SUMS} FROM hours h"  # noqa: S608 - constants
        " JOIN combos c ON c.id = h.combo WHERE h.hour >= ? GROUP BY h.combo",
        (hour,),
    )
    width = len(OUTCOMES)
    counts = []
    for combo, house, tool, shape, model, task, *sums in rows:
        histogram = tuple(histograms.get(combo, ()))
        latency_n, latency_ms, confidence_n, confidence = sums[width:]
        counts.append(
            ToolCount(
                house,
                tool,
                shape,
                model,
                task,
                tuple(sums[:width]),
                latency_n,
                latency_ms,
                confidence_n,
                confidence,
                histogram,
            )
        )
    counts.sort(key=lambda row: (-sum(row.counts), row[:5]))
    return counts


def turn_counts(connection: sqlite3.Connection, since: float) -> dict[str, tuple[int, int]]:
    """(turns, completed turns) of each house since a time."""
    rows = connection.execute(
        "SELECT house, count(*), sum(completed) FROM turns WHERE at >= ? GROUP BY house", (since,)
    )
    return {house: (n, completed) for house, n, completed in rows}


def executions_after(
    connection: sqlite3.Connection, execution_id: int, limit: int
) -> list[Execution]:
    """Executions with a greater id, by id."""
    query = (
        f"SELECT {EXECUTION_COLUMNS} FROM {EXECUTION_TABLES} WHERE e.id > ? ORDER BY e.id LIMIT ?"  # noqa: S608 - constants
    )
    return [to_execution(row) for row in connection.execute(query, (execution_id, limit))]


def executions_between(connection: sqlite3.Connection, after: int, upto: int) -> list[Execution]:
    """Executions of a range of ids, by id."""
    query = (
        f"SELECT {EXECUTION_COLUMNS} FROM {EXECUTION_TABLES}"  # noqa: S608 - constants
        " WHERE e.id > ? AND e.id <= ? ORDER BY e.id"
    )
    return [to_execution(row) for row in connection.execute(query, (after, upto))]


def session_tallies(
    connection: sqlite3.Connection, since: float, until: float
) -> list[tuple[int, str, str, int, int]]:
    """(lineage, house, tool, successes, rated) over a time, of at most the newest million ids."""
    rows = connection.execute(
        "SELECT e.lineage, c.house, c.tool, sum(e.outcome = 0), count(*) FROM executions e"
        " JOIN combos c ON c.id = e.combo WHERE e.id > (SELECT max(id) FROM executions) - 1000000"
        " AND e.at >= ? AND e.at < ? AND e.outcome IN (0, 1, 2)"
        " AND c.house NOT IN (SELECT name FROM houses WHERE state != 'active') GROUP BY e.lineage, c.house, c.tool",
        (since, until),
    )
    return rows.fetchall()


def lineages(connection: sqlite3.Connection) -> int:
    """How many lineages of sessions are known."""
    query = "SELECT count(*) FROM lineages WHERE moved_to IS NULL"
    return int(connection.execute(query).fetchone()[0])


def request_totals(
    connection: sqlite3.Connection, since: float
) -> list[tuple[int, str, str, int, int]]:
    """(hour, house, model, answered, failed) of the models' own calls since the hour of a time."""
    query = "SELECT hour, house, model, ok, failed FROM requests WHERE hour >= ? ORDER BY hour, house, model"
    return connection.execute(query, (int(since // HOUR_S),)).fetchall()


def answered_late(connection: sqlite3.Connection, up_to: int, limit: int) -> list[int]:
    """Ids of executions answered after they were read as evidence."""
    query = "SELECT execution FROM answered WHERE execution <= ? ORDER BY execution LIMIT ?"
    return [row[0] for row in connection.execute(query, (up_to, limit))]


def answered_between(connection: sqlite3.Connection, after: int, upto: int) -> list[int]:
    """Ids of executions in (after, upto] whose outcome came after they were counted."""
    query = "SELECT execution FROM answered WHERE execution > ? AND execution <= ?"
    return [row[0] for row in connection.execute(query, (after, upto))]


def turns_between(connection: sqlite3.Connection, after: int, upto: int) -> list[TurnRow]:
    """Ends of turns with ids in (after, upto], by id."""
    query = """SELECT id, at, lineage, house, completed, interrupted, policy FROM turns
        WHERE id > ? AND id <= ? ORDER BY id"""
    return [
        TurnRow(row[0], row[1], row[2], row[3], bool(row[4]), bool(row[5]), row[6])
        for row in connection.execute(query, (after, upto))
    ]


def insert_adaptation(connection: sqlite3.Connection, event: AdaptationEvent, at: float) -> int:
    """Keep an adaptation; returns its number."""
    cursor = connection.execute(
        "INSERT INTO adaptations (at, kind, trigger, change_type, old_value, new_value, reason,"
        " expected, evidence) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            at,
            event.kind,
            event.trigger,
            event.change_type,
            json.dumps(event.old_value),
            json.dumps(event.new_value),
            event.reason,
            event.expected_improvement,
            json.dumps(dict(event.evidence)),
        ),
    )
    return int(cursor.lastrowid or 0)


_ADAPTATION_COLUMNS = (
    "id, at, kind, trigger, change_type, old_value, new_value, reason, expected, evidence"
)


def adaptations(connection: sqlite3.Connection, limit: int) -> list[AdaptationEvent]:
    """Adaptations, newest first."""
    query = f"SELECT {_ADAPTATION_COLUMNS} FROM adaptations ORDER BY id DESC LIMIT ?"  # noqa: S608 - constants
    return [_adaptation(row) for row in connection.execute(query, (limit,))]


def adaptations_after(
    connection: sqlite3.Connection, number: int, most: int
) -> list[AdaptationEvent]:
    """At most so many adaptations with greater numbers, in their order."""
    query = f"SELECT {_ADAPTATION_COLUMNS} FROM adaptations WHERE id > ? ORDER BY id LIMIT ?"  # noqa: S608 - constants
    return [_adaptation(row) for row in connection.execute(query, (number, most))]


def _adaptation(row: tuple[Any, ...]) -> AdaptationEvent:
    number, at, kind, trigger, change_type, old, new, reason, expected, evidence = row
    return AdaptationEvent(
        timestamp=iso(at) or "",
        trigger=trigger,
        change_type=change_type,
        old_value=json.loads(old),
        new_value=json.loads(new),
        reason=reason,
        expected_improvement=expected,
        id=number,
        kind=kind,
        evidence=json.loads(evidence),
    )


def files(connection: sqlite3.Connection, states: Sequence[str]) -> list[FileRow]:
    """Rows of the ledger of files, newest reading first."""
    rows: Iterable[tuple[Any, ...]] = connection.execute(
        f"SELECT {_FILE_COLUMNS} FROM files ORDER BY read_at DESC"  # noqa: S608 - constants
    )
    found = (_file(row) for row in rows)
    return [row for row in found if not states or row.state in states]


def file(connection: sqlite3.Connection, path: bytes) -> FileRow | None:
    """The ledger's row of one file."""
    row = connection.execute(
        f"SELECT {_FILE_COLUMNS} FROM files WHERE path = ?",  # noqa: S608 - constants
        (path,),
    ).fetchone()
    return None if row is None else _file(row)


def _file(row: tuple[Any, ...]) -> FileRow:
    return FileRow(**dict(zip(FileRow.__struct_fields__, row, strict=True)))


def homes(connection: sqlite3.Connection) -> list[str]:
    """The homes that sessions belong to, found by leaps through the index."""
    query = """WITH RECURSIVE found (home) AS (SELECT min(home) FROM sessions
        UNION ALL SELECT (SELECT min(home) FROM sessions WHERE home > found.home) FROM found
        WHERE found.home IS NOT NULL)
        SELECT n.name FROM found JOIN names n ON n.id = found.home"""
    return [str(row[0]) for row in connection.execute(query)]
