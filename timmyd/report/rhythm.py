"""PURE: what moves: success by the day, by the hour of the day, and the hours in which something fails."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from timmyd.core.detect import wilson_interval
from timmyd.house.units import HOUR_S
from timmyd.store.trends import HourCount

HOURS: Final = 24
WEEKDAYS: Final = 7
_MONDAY_FIRST: Final = 3
"""1 January 1970 was a Thursday."""

_LONGEST_BLOCK: Final = 10
_MOST_SUSPECTS: Final = 8
_LEAST_CALLS: Final = 12
_LEAST_DAYS: Final = 4
_LEAST_DROP: Final = 0.15
_SURE: Final = 5.0
"""Standard errors that the worst of some 240 blocks of hours must lie below the rest: two-sided chance about
1e-4 of one false pattern among them (Bonferroni)."""


class Day(msgspec.Struct, frozen=True):
    """Success on one day; rate and interval are None on a day without a rated call."""

    day: int
    rated: int
    rate: float | None
    interval: tuple[float, float] | None
    latency_ms: float | None = None


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """Hours of the day in which something fails more than in the rest of the day.

    Attributes:
        begins: Local hour, 0 to 23.
        ends: Local hour at which it is over; below `begins` where it spans midnight.
        rate: Success within it.
        others: Success in the other hours.
        rated: Calls within it.
        days: On how many days.
        lost_a_day: Calls that would have succeeded at the others' rate, a day.
    """

    begins: int
    ends: int
    rate: float
    others: float
    rated: int
    days: int
    lost_a_day: float


def days(rows: Iterable[HourCount], *, first: int, last: int) -> list[Day]:
    """One entry for each day from `first` to `last` (days since 1970, UTC), also for days without calls."""
    sums: dict[int, list[float]] = {}
    for row in rows:
        known = sums.setdefault(row.hour // HOURS, [0, 0, 0, 0.0])
        for at, figure in enumerate((row.ok, row.rated, row.latency_n, row.latency_ms)):
            known[at] += figure
    found = []
    for day in range(first, last + 1):
        ok, rated, timed, ms = sums.get(day, (0, 0, 0, 0.0))
        found.append(
            Day(
                day,
                int(rated),
                ok / rated if rated else None,
                wilson_interval(int(ok), int(rated)) if rated else None,
                ms / timed if timed else None,
            )
        )
    return found


def week(rows: Iterable[HourCount], offset_s: Callable[[float], float]) -> list[list[float | None]]:
    """Success by weekday (Monday first) and local hour; None where there was no rated call.

    Args:
        rows: Counts by the hour.
        offset_s: Seconds that local time is ahead of UTC at a time.
    """
    sums = [[[0, 0] for _ in range(HOURS)] for _ in range(WEEKDAYS)]
    for row in rows:
        local = int((row.hour * HOUR_S + offset_s(row.hour * HOUR_S)) // HOUR_S)
        cell = sums[(local // HOURS + _MONDAY_FIRST) % WEEKDAYS][local % HOURS]
        cell[0] += row.ok
        cell[1] += row.rated
    return [[ok / rated if rated else None for ok, rated in hours] for hours in sums]


def failing_hours(
    rows: Sequence[HourCount], offset_s: Callable[[float], float], *, now: float
) -> Block | None:
    """The block of hours in which the calls of `rows` fail most, if that is beyond chance and still so.

    Every block is compared with the other hours of the same house and week (strata, as Mantel and Haenszel
    1959), so that a house that fell, or a tool that died, is no pattern of the day. Calls of one hour are
    correlated: the variance is multiplied by Pearson's chi-squared over its degrees of freedom, at least 1.
    """
    rows = [row for row in rows if row.rated and row.hour * HOUR_S <= now]
    if sum(row.rated for row in rows) < 2 * _LEAST_CALLS:
        return None
    strata: dict[tuple[str, int], _Stratum] = {}
    for row in rows:
        local = int((row.hour * HOUR_S + offset_s(row.hour * HOUR_S)) // HOUR_S)
        key = row.house, local // (HOURS * WEEKDAYS)
        strata.setdefault(key, _Stratum()).add(local, row.ok, row.rated)
    best: tuple[float, list[int]] | None = None
    for hours in _suspects(strata.values()):
        score = _score(strata.values(), hours)
        if score is not None and (best is None or score > best[0]):
            best = score, hours
    if best is None or best[0] < _SURE:
        return None
    hours = best[1]
    if best[0] / math.sqrt(_overdispersion(strata.values(), hours)) < _SURE:
        return None
    inside = _sum(stratum.sums[hour] for stratum in strata.values() for hour in hours)
    rest = _sum(
        stratum.sums[hour]
        for stratum in strata.values()
        for hour in range(HOURS)
        if hour not in hours
    )
    cells = [
        (day, cell)
        for stratum in strata.values()
        for (day, hour), cell in stratum.cells.items()
        if hour in hours and cell[1]
    ]
    rate, others = inside[0] / inside[1], rest[0] / rest[1]
    seen = {day for day, _ in cells}
    lately = _sum(cell for day, cell in cells if day >= now // (HOURS * HOUR_S) - WEEKDAYS)
    if others - rate < _LEAST_DROP or len(seen) < _LEAST_DAYS:
        return None
    if lately[1] and lately[0] / lately[1] > (rate + others) / 2:
        return None
    span = max(1.0, (now - min(row.hour for row in rows) * HOUR_S) / (HOURS * HOUR_S))
    return Block(
        begins=hours[0],
        ends=(hours[-1] + 1) % HOURS,
        rate=rate,
        others=others,
        rated=inside[1],
        days=len(seen),
        lost_a_day=(others - rate) * inside[1] / span,
    )


class _Stratum:
    """One house in one week: its calls by hour of the day, and by day and hour."""

    __slots__ = ("cells", "sums", "whole")

    def __init__(self) -> None:
        self.cells: dict[tuple[int, int], tuple[int, int]] = {}
        self.sums: list[tuple[int, int]] = [(0, 0)] * HOURS
        self.whole = (0, 0)

    def add(self, local: int, ok: int, rated: int) -> None:
        """Calls of one hour since 1970, local time."""
        hour, key = local % HOURS, (local // HOURS, local % HOURS)
        self.cells[key] = _sum((self.cells.get(key, (0, 0)), (ok, rated)))
        self.sums[hour] = _sum((self.sums[hour], (ok, rated)))
        self.whole = _sum((self.whole, (ok, rated)))


def _suspects(strata: Iterable[_Stratum]) -> list[list[int]]:
    """The few blocks of hours that lie furthest below the whole day, which are then looked at closely.

    Compared with the whole day, the block itself included, every hour is summed up once for all blocks. That
    makes each score a little smaller than the true one, hence half of what is asked for.
    """
    missing, variance = [0.0] * HOURS, [0.0] * HOURS
    for stratum in strata:
        ok, rated = stratum.whole
        p = (ok + 1.0) / (rated + 2.0)
        for hour, (good, n) in enumerate(stratum.sums):
            missing[hour] += n * p - good
            variance[hour] += n * p * (1.0 - p)
    found: list[tuple[float, list[int]]] = []
    for begins in range(HOURS):
        less = spread = 0.0
        hours: list[int] = []
        for length in range(_LONGEST_BLOCK):
            hour = (begins + length) % HOURS
            hours.append(hour)
            less += missing[hour]
            spread += variance[hour]
            if less > 0.0 and less >= _SURE / 2.0 * math.sqrt(spread):
                found.append((less / math.sqrt(spread), list(hours)))
    return [hours for _, hours in sorted(found, reverse=True)[:_MOST_SUSPECTS]]


def _score(strata: Iterable[_Stratum], hours: Sequence[int]) -> float | None:
    """By how many standard errors the hours lie below the others; None where there is too little."""
    missing = variance = 0.0
    calls = 0
    for stratum in strata:
        ok = n = 0
        for hour in hours:
            good, rated = stratum.sums[hour]
            ok += good
            n += rated
        m = stratum.whole[1] - n
        if n and m:
            p = (stratum.whole[0] - ok + 1.0) / (m + 2.0)
            missing += n * p - ok
            variance += n * p * (1.0 - p) * (1.0 + n / m)
            calls += n
    return missing / math.sqrt(variance) if calls >= _LEAST_CALLS and missing > 0.0 else None


def _overdispersion(strata: Iterable[_Stratum], hours: Sequence[int]) -> float:
    """How much more the other hours differ among each other than by chance; at least 1."""
    chi, cells = 0.0, 0
    for stratum in strata:
        ok, n = _sum(stratum.sums[hour] for hour in hours)
        p = (stratum.whole[0] - ok + 1.0) / (stratum.whole[1] - n + 2.0)
        for (_, hour), (good, rated) in stratum.cells.items():
            if rated and hour not in hours:
                chi += (good - rated * p) ** 2 / (rated * p * (1.0 - p))
                cells += 1
    return max(1.0, chi / max(1, cells))


def _sum(cells: Iterable[Sequence[int]]) -> tuple[int, int]:
    ok = rated = 0
    for cell in cells:
        ok += cell[0]
        rated += cell[1]
    return ok, rated
