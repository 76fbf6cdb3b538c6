"""Retention: what goes, what never goes before it, and that no slice is long."""

import sqlite3
from contextlib import closing
from typing import Any

import pytest

from timmyd.house.units import DAY_S
from timmyd.store import upkeep
from timmyd.store.connection import MEMORY, connect
from timmyd.store.upkeep import SLICE_ROWS, prune_slice

NOW = 20_000 * DAY_S
KEPT = {"executions_s": 90 * DAY_S, "patterns_s": 30 * DAY_S, "hours_s": 35 * DAY_S, "days_s": 400 * DAY_S}  # fmt: skip


@pytest.fixture
def connection() -> Any:
    with closing(connect(MEMORY, now=NOW, progress=lambda _: None)) as found:
        yield found


def prune(connection: sqlite3.Connection, *, most: int = 10_000) -> int:
    """Prune to the end; returns how many slices it took."""
    for slices in range(1, most):
        if not prune_slice(connection, now=NOW, **KEPT):
            return slices
    raise AssertionError("it never ends")


def count(connection: sqlite3.Connection, table: str) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def add_execution(connection: sqlite3.Connection, number: int, at: float) -> None:
    connection.execute(
        "INSERT INTO executions (id, at, lineage, combo, signature, outcome, rule, source, flags)"
        " VALUES (?, ?, 1, 1, 1, 0, 1, 0, 0)",
        (number, at),
    )


def add_pattern(connection: sqlite3.Connection, signature: int, calls: int, at: float) -> None:
    connection.execute(
        "INSERT INTO patterns VALUES (1, ?, ?, 0, 0, 0, 0, 0, 0, ?)", (signature, calls, at)
    )


def add_hour(connection: sqlite3.Connection, hour: int, combo: int, ok: int, ms: float) -> None:
    connection.execute(
        "INSERT INTO hours VALUES (?, ?, ?, 1, 0, 0, 0, 0, 0, ?, ?, 0, 0)",
        (hour, combo, ok, ok, ms),
    )
    connection.execute("INSERT INTO latencies VALUES (?, ?, 3, ?)", (hour, combo, ok))


def test_old_executions_go_in_slices_and_young_ones_stay_wherever_they_stand(
    connection: sqlite3.Connection,
) -> None:
    many = 3 * SLICE_ROWS
    for number in range(1, many + 1):
        young = number % 100 == 0
        add_execution(connection, number, NOW - (1 if young else 91) * DAY_S)

    prune_slice(connection, now=NOW, **KEPT)
    assert count(connection, "executions") >= many - SLICE_ROWS
    slices = 1 + prune(connection)

    assert slices >= 3
    left = [row[0] for row in connection.execute("SELECT id FROM executions ORDER BY id")]
    assert left == [number for number in range(1, many + 1) if number % 100 == 0]


def test_an_execution_that_grows_old_between_young_ones_goes_in_a_later_round(
    connection: sqlite3.Connection,
) -> None:
    add_execution(connection, 1, NOW)
    add_execution(connection, 2, NOW - 89.5 * DAY_S)
    prune(connection)
    assert count(connection, "executions") == 2

    for _ in range(3):
        prune_slice(connection, now=NOW + DAY_S, **KEPT)

    assert [row[0] for row in connection.execute("SELECT id FROM executions")] == [1]


def test_rare_patterns_go_when_old_and_frequent_ones_stay(connection: sqlite3.Connection) -> None:
    add_pattern(connection, 1, calls=2, at=NOW - 31 * DAY_S)
    add_pattern(connection, 2, calls=2, at=NOW - 29 * DAY_S)
    add_pattern(connection, 3, calls=3, at=NOW - 300 * DAY_S)

    prune(connection)

    left = connection.execute("SELECT signature FROM patterns ORDER BY signature").fetchall()
    assert left == [(2,), (3,)]


def test_above_the_cap_the_rarest_and_then_the_oldest_patterns_go(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "PATTERN_CAP", 3)
    for number in range(1, 7):
        add_pattern(connection, number, calls=5 if number > 4 else 1, at=NOW - number)

    prune(connection)

    left = connection.execute("SELECT signature FROM patterns ORDER BY signature").fetchall()
    assert left == [(1,), (5,), (6,)]


def test_a_day_is_folded_into_one_bucket_with_the_same_sums_and_histogram(
    connection: sqlite3.Connection,
) -> None:
    old = (20_000 - 40) * 24
    for hour in range(48):
        add_hour(connection, old + hour, combo=1, ok=hour, ms=2.0 * hour)
    add_hour(connection, old + 5, combo=2, ok=7, ms=1.0)
    young = (20_000 - 3) * 24
    add_hour(connection, young + 1, combo=1, ok=1, ms=1.0)
    sums = (
        "SELECT combo, sum(ok), sum(error), sum(latency_n), sum(latency_ms) FROM hours GROUP BY 1"
    )
    bins = "SELECT combo, bin, sum(n) FROM latencies GROUP BY 1, 2"
    before = connection.execute(sums).fetchall(), connection.execute(bins).fetchall()

    prune(connection)

    assert (connection.execute(sums).fetchall(), connection.execute(bins).fetchall()) == before
    keys = connection.execute("SELECT hour, combo FROM hours ORDER BY 1, 2").fetchall()
    assert keys == [(old, 1), (old, 2), (old + 24, 1), (young + 1, 1)]
    assert connection.execute("SELECT DISTINCT hour FROM latencies").fetchall() == [
        (old,), (old + 24,), (young + 1,),
    ]  # fmt: skip


def test_what_comes_late_for_a_day_that_was_folded_is_folded_into_it(
    connection: sqlite3.Connection,
) -> None:
    old = (20_000 - 40) * 24
    add_hour(connection, old + 2, combo=1, ok=3, ms=3.0)
    prune(connection)
    add_hour(connection, old + 9, combo=1, ok=4, ms=4.0)

    prune(connection)

    rows = connection.execute("SELECT hour, ok, error, latency_ms FROM hours").fetchall()
    assert rows == [(old, 7, 2, 7.0)]


def test_days_past_their_time_go_with_their_histograms_and_requests(
    connection: sqlite3.Connection,
) -> None:
    for days in (399, 401):
        add_hour(connection, (20_000 - days) * 24, combo=1, ok=1, ms=1.0)
        connection.execute(
            "INSERT INTO requests VALUES (?, 'e', 'm', 1, 0, 0, 0, 0, 0)", ((20_000 - days) * 24,)
        )
        connection.execute(
            "INSERT INTO providers VALUES (?, 'e', 'p', 'timeout', 1)", ((20_000 - days) * 24,)
        )

    prune(connection)

    for table in ("hours", "latencies", "requests", "providers"):
        assert connection.execute(f"SELECT hour FROM {table}").fetchall() == [
            ((20_000 - 399) * 24,)
        ]


def add_lineage(connection: sqlite3.Connection, number: int, updated_at: float) -> None:
    connection.execute(
        "INSERT INTO lineages VALUES (?, 'ezra', NULL, ?, x'', NULL)", (number, updated_at)
    )
    connection.execute("INSERT INTO sessions VALUES (1, ?, ?)", (number, number))
    connection.execute("INSERT INTO joins VALUES (?, ?)", (number, number))


def test_registers_are_kept_as_long_as_the_days_that_they_guard(
    connection: sqlite3.Connection,
) -> None:
    add_lineage(connection, 1, NOW - 399 * DAY_S)
    add_execution(connection, 1, NOW - 399 * DAY_S)

    prune(connection)

    assert count(connection, "executions") == 0
    for table in ("lineages", "sessions", "joins"):
        assert count(connection, table) == 1


def test_lineages_past_their_time_go_with_ids_and_marks_and_leave_what_says_nothing(
    connection: sqlite3.Connection,
) -> None:
    for number in range(1, 351):
        add_lineage(connection, number, NOW - 401 * DAY_S)
    add_lineage(connection, 900, NOW - DAY_S)
    connection.execute("INSERT INTO joins VALUES (5000, 0)")

    assert prune(connection) > 3

    assert [row[0] for row in connection.execute("SELECT id FROM lineages")] == [900]
    assert [row[0] for row in connection.execute("SELECT lineage FROM sessions")] == [900]
    for _ in range(3):
        prune_slice(connection, now=NOW, **KEPT)
    marks = connection.execute("SELECT mark FROM joins ORDER BY mark").fetchall()
    assert marks == [(900,), (5000,)]


def test_orphaned_marks_go_a_slice_at_a_time_round_the_table(
    connection: sqlite3.Connection,
) -> None:
    connection.executemany(
        "INSERT INTO joins VALUES (?, 77)", [(mark,) for mark in range(1, 2 * SLICE_ROWS + 1)]
    )
    add_lineage(connection, 90_000, NOW)

    prune_slice(connection, now=NOW, **KEPT)
    assert count(connection, "joins") == SLICE_ROWS + 1
    prune(connection)

    assert connection.execute("SELECT mark FROM joins").fetchall() == [(90_000,)]


def test_turns_and_orders_that_were_carried_out_go_with_the_executions(
    connection: sqlite3.Connection,
) -> None:
    for days in (1, 91):
        at = NOW - days * DAY_S
        connection.execute(
            "INSERT INTO turns (at, lineage, house, completed, interrupted) VALUES (?, 1, 'e', 1, 0)",
            (at,),
        )
        for done_at in (at, None):
            connection.execute(
                "INSERT INTO orders (at, kind, body, done_at) VALUES (?, 'pin', '{}', ?)",
                (at, done_at),
            )

    prune(connection)

    assert count(connection, "turns") == 1
    assert count(connection, "orders") == 3


def test_an_empty_database_has_nothing_to_prune(connection: sqlite3.Connection) -> None:
    assert prune(connection) == 1
