"""Sums by the hour and by the day, for what moves: read from the buckets, never from the executions."""

import sqlite3
from typing import NamedTuple

from timmyd.house.units import HOUR_S


class HourCount(NamedTuple):
    """The rated calls of a tool in a house in one hour.

    Attributes:
        hour: Hours since 1970, UTC.
        house: Its house.
        tool: Its tool.
        ok: How many succeeded.
        rated: How many succeeded or failed.
        calls: All of them.
        latency_n: How many have a latency.
        latency_ms: The sum of these.
    """

    hour: int
    house: str
    tool: str
    ok: int
    rated: int
    calls: int
    latency_n: int
    latency_ms: float


class DayCount(NamedTuple):
    """The calls of a model on one day: days since 1970, UTC."""

    day: int
    model: str
    ok: int
    rated: int


_RATED = "h.ok + h.error + h.timeout"
_CALLS = f"{_RATED} + h.blocked + h.cancelled + h.rejected + h.unknown"


def by_hour(connection: sqlite3.Connection, since: float) -> list[HourCount]:
    """Every tool of every house by the hour, in order of time."""
    rows = connection.execute(
        f"SELECT h.hour, c.house, c.tool, sum(h.ok), sum({_RATED}), sum({_CALLS}),"  # noqa: S608 - constants
        " sum(h.latency_n), sum(h.latency_ms) FROM hours h JOIN combos c ON c.id = h.combo"
        " WHERE h.hour >= ? GROUP BY h.hour, c.house, c.tool ORDER BY h.hour",
        (int(since // HOUR_S),),
    )
    return [HourCount(*row) for row in rows]


def models_by_day(connection: sqlite3.Connection, since: float) -> list[DayCount]:
    """Every model by the day, in order of time; calls that it spoilt count against it."""
    rows = connection.execute(
        f"SELECT h.hour / 24, c.model, sum(h.ok), sum({_RATED} + h.rejected)"  # noqa: S608 - constants
        " FROM hours h JOIN combos c ON c.id = h.combo"
        " WHERE h.hour >= ? AND c.model <> '' GROUP BY h.hour / 24, c.model ORDER BY 1",
        (int(since // HOUR_S),),
    )
    return [DayCount(*row) for row in rows]
