"""Retention: what is older than its time goes, in slices that never hold the loop up."""

import sqlite3

from timmyd.house.units import DAY_S, HOUR_S
from timmyd.store.rollups import HOUR_COLUMNS

SLICE_ROWS = 2_000
PATTERN_CAP = 500_000
_RARE_CALLS = 3
_HOURS_A_DAY = 24
_SUMS = ", ".join(f"sum({column})" for column in HOUR_COLUMNS)
_MARKS = ", ".join("?" * (len(HOUR_COLUMNS) + 2))


def prune_slice(
    connection: sqlite3.Connection,
    *,
    now: float,
    executions_s: float,
    patterns_s: float,
    hours_s: float,
    days_s: float,
) -> bool:
    """Do one bounded piece of the pruning; True if there may be more to do.

    The registers that refuse a second count are kept as long as the day buckets, so that removing
    executions can never make a file count again.
    """
    steps = (
        _old_executions(connection, now - executions_s),
        _rare_patterns(connection, now - patterns_s),
        _too_many_patterns(connection),
        _fold_a_day(connection, now - hours_s),
        _old_rows(connection, now - days_s, now - executions_s),
    )
    connection.execute("PRAGMA incremental_vacuum(200)")
    return any(steps)


def _old_executions(connection: sqlite3.Connection, before: float) -> bool:
    mark = _state_int(connection, "prune_execution")
    top = connection.execute(
        "SELECT max(id), count(*) FROM (SELECT id FROM executions WHERE id > ? ORDER BY id LIMIT ?)",
        (mark, SLICE_ROWS),
    ).fetchone()
    if top[0] is None:
        if mark:
            _set_state_int(connection, "prune_execution", 0)
        return False
    query = "DELETE FROM executions WHERE id > ? AND id <= ? AND at < ?"
    removed = connection.execute(query, (mark, top[0], before)).rowcount
    connection.execute(
        "DELETE FROM predictions WHERE execution > ? AND execution <= ? AND at < ?",
        (mark, top[0], before),
    )
    if removed == 0 and top[1] < SLICE_ROWS:
        _set_state_int(connection, "prune_execution", 0)
        return False
    _set_state_int(connection, "prune_execution", int(top[0]))
    return removed > 0


def _rare_patterns(connection: sqlite3.Connection, before: float) -> bool:
    removed = connection.execute(
        "DELETE FROM patterns WHERE (combo, signature) IN (SELECT combo, signature FROM patterns"
        " WHERE calls < ? AND last_at < ? LIMIT ?)",
        (_RARE_CALLS, before, SLICE_ROWS),
    ).rowcount
    return removed >= SLICE_ROWS


def _too_many_patterns(connection: sqlite3.Connection) -> bool:
    count = connection.execute("SELECT count(*) FROM patterns").fetchone()[0]
    excess = min(SLICE_ROWS, count - PATTERN_CAP)
    if excess <= 0:
        return False
    connection.execute(
        "DELETE FROM patterns WHERE (combo, signature) IN (SELECT combo, signature FROM patterns"
        " ORDER BY calls, last_at LIMIT ?)",
        (excess,),
    )
    return True


def _fold_a_day(connection: sqlite3.Connection, before: float) -> bool:
    """Fold the oldest day that is past its time, and is still kept by the hour, into one bucket."""
    limit = int(before // DAY_S) * _HOURS_A_DAY
    row = connection.execute(
        "SELECT min(hour) FROM hours WHERE hour < ? AND hour % ? != 0", (limit, _HOURS_A_DAY)
    ).fetchone()
    if row[0] is None:
        return False
    first = int(row[0]) // _HOURS_A_DAY * _HOURS_A_DAY
    span = (first, first + _HOURS_A_DAY)
    days = connection.execute(
        f"SELECT ?, combo, {_SUMS} FROM hours WHERE hour >= ? AND hour < ? GROUP BY combo",  # noqa: S608 - constants
        (first, *span),
    ).fetchall()
    bins = connection.execute(
        "SELECT ?, combo, bin, sum(n) FROM latencies WHERE hour >= ? AND hour < ? GROUP BY combo, bin",
        (first, *span),
    ).fetchall()
    connection.execute("DELETE FROM hours WHERE hour >= ? AND hour < ?", span)
    connection.execute("DELETE FROM latencies WHERE hour >= ? AND hour < ?", span)
    connection.executemany(f"INSERT INTO hours VALUES ({_MARKS})", days)  # noqa: S608 - constants
    connection.executemany("INSERT INTO latencies VALUES (?, ?, ?, ?)", bins)
    return True


def _old_rows(connection: sqlite3.Connection, before: float, turns_before: float) -> bool:
    hour = int(before // HOUR_S)
    more = False
    for query, values in (
        ("DELETE FROM hours WHERE (hour, combo) IN (SELECT hour, combo FROM hours WHERE hour < ? LIMIT ?)", (hour, SLICE_ROWS)),
        ("DELETE FROM latencies WHERE (hour, combo, bin) IN (SELECT hour, combo, bin FROM latencies WHERE hour < ? LIMIT ?)", (hour, SLICE_ROWS)),
        ("DELETE FROM requests WHERE hour < ?", (hour,)),
        ("DELETE FROM providers WHERE hour < ?", (hour,)),
        ("DELETE FROM usage WHERE last_at < ?", (before,)),
        ("DELETE FROM turns WHERE id IN (SELECT id FROM turns WHERE at < ? ORDER BY id LIMIT ?)", (turns_before, SLICE_ROWS)),
        ("DELETE FROM orders WHERE done_at IS NOT NULL AND done_at < ?", (turns_before,)),
    ):  # fmt: skip
        more = connection.execute(query, values).rowcount >= SLICE_ROWS or more
    lineages = [
        row[0]
        for row in connection.execute(
            "SELECT id FROM lineages WHERE updated_at < ? ORDER BY updated_at LIMIT 100", (before,)
        )
    ]
    gone = [(lineage,) for lineage in lineages]
    connection.executemany("DELETE FROM sessions WHERE lineage = ?", gone)
    connection.executemany("DELETE FROM lineages WHERE id = ?", gone)
    return _orphaned_joins(connection) or more or bool(lineages)


def _orphaned_joins(connection: sqlite3.Connection) -> bool:
    """Remove marks of lineages that are gone, walking round the table a slice at a time."""
    mark = _state_int(connection, "prune_join")
    top = connection.execute(
        "SELECT max(mark) FROM (SELECT mark FROM joins WHERE mark > ? ORDER BY mark LIMIT ?)",
        (mark, SLICE_ROWS),
    ).fetchone()[0]
    _set_state_int(connection, "prune_join", int(top or 0))
    if top is None:
        return False
    removed = connection.execute(
        "DELETE FROM joins WHERE mark > ? AND mark <= ? AND lineage != 0"
        " AND lineage NOT IN (SELECT id FROM lineages)",
        (mark, top),
    ).rowcount
    return removed > 0


def _state_int(connection: sqlite3.Connection, key: str) -> int:
    row = connection.execute("SELECT value FROM state WHERE key = ?", (key,)).fetchone()
    return 0 if row is None else int(row[0])


def _set_state_int(connection: sqlite3.Connection, key: str, value: int) -> None:
    connection.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (key, str(value).encode()))
