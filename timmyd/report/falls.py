"""PURE: what works less than it did: the last days against those before, in strata, so that no mix of work counts.

For what people look at: it sees a fall a detector would still wait for, and decides nothing.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from timmyd.store.trends import HourCount

DAY_HOURS: Final = 24
WINDOWS_DAYS: Final = (1, 2, 3, 7, 14)
"""How long the fall may have lasted; the clearest one is told."""

_SURE: Final = 5.0
_LEAST_BEFORE: Final = 20
_LEAST_DAYS: Final = 4
_LEAST_NOW: Final = 5
_LEAST_DROP: Final = 0.1
_ONE_CAUSE: Final = 0.6

Label = Callable[[HourCount], str]
_Cells = dict[str, dict[int, list[int]]]


class Fall(msgspec.Struct, frozen=True, kw_only=True):
    """Something that works less than before.

    Attributes:
        days: For how long.
        since: The hour it began at, hours since 1970, UTC.
        was: Success before, of the same mix of work.
        now: Success since.
        rated: Calls since.
        lost_a_day: Calls that would have succeeded as before, a day.
        shares: Of each stratum, its share of what was lost.
    """

    days: int
    since: int
    was: float
    now: float
    rated: int
    lost_a_day: float
    shares: dict[str, float]

    @property
    def widespread(self) -> bool:
        """No single stratum is behind it."""
        return len(self.shares) > 1 and max(self.shares.values()) < _ONE_CAUSE


def fallen(rows: Sequence[HourCount], stratum: Label, *, now_hour: int) -> Fall | None:
    """The clearest fall of the last days, if there is one beyond chance.

    Each stratum is compared with itself; days of the past differ among each other by more than chance, and
    the variance is multiplied by Pearson's chi-squared over its degrees of freedom, at least 1.

    Args:
        rows: Counts by the hour, in order of time.
        stratum: What to compare only with itself: the tool where a house is asked about, and the reverse.
        now_hour: Hours since 1970.
    """
    if sum(row.rated for row in rows) < _LEAST_BEFORE + _LEAST_NOW:
        return None
    cells = _by_age(rows, stratum, now_hour)
    best: tuple[float, Fall] | None = None
    for days in WINDOWS_DAYS:
        found = _compared(cells, now_hour - days * DAY_HOURS, days)
        if found is not None and (best is None or found[0] > best[0]):
            best = found
    return None if best is None else best[1]


def _by_age(rows: Iterable[HourCount], stratum: Label, now_hour: int) -> _Cells:
    """Successes and rated calls by stratum and by whole days ago (1: the last 24 hours).

    What lies in the future, by a clock that was wrong, is no news.
    """
    found: _Cells = {}
    for row in rows:
        if row.rated and row.hour <= now_hour:
            ages = found.setdefault(stratum(row), {})
            cell = ages.setdefault(max(1, -((row.hour - now_hour) // DAY_HOURS)), [0, 0])
            cell[0] += row.ok
            cell[1] += row.rated
    return found


def _compared(cells_of: _Cells, since: int, days: int) -> tuple[float, Fall] | None:
    missing = variance = expected = chi = 0.0
    calls = good = past = cells = 0
    seen: set[int] = set()
    lost: dict[str, float] = {}
    for label, ages in cells_of.items():
        ok = n = well = then = 0
        for age, (one, m) in ages.items():
            if age <= days:
                ok, n = ok + one, n + m
            else:
                well, then = well + one, then + m
        if not n or then < _LEAST_NOW:
            continue
        p = (well + 0.5) / (then + 1.0)
        if len(cells_of) == 1 and n * (p - _LEAST_DROP) < ok:
            return None  # the common case, before anything is counted day by day
        lost[label] = n * p - ok
        missing += lost[label]
        expected += n * p
        variance += n * p * (1.0 - p) * (1.0 + n / then)
        calls, good, past = calls + n, good + ok, past + then
        for age, (one, m) in ages.items():
            if age > days:
                chi += (one - m * p) ** 2 / (m * p * (1.0 - p))
                cells += 1
                seen.add(age)
    if calls < _LEAST_NOW or past < _LEAST_BEFORE or len(seen) < _LEAST_DAYS:
        return None
    score = missing / math.sqrt(variance * max(1.0, chi / max(1, cells - len(lost))))
    if score < _SURE or missing / calls < _LEAST_DROP:
        return None
    whole = sum(max(0.0, one) for one in lost.values())
    return score, Fall(
        days=days,
        since=since,
        was=expected / calls,
        now=good / calls,
        rated=calls,
        lost_a_day=missing / days,
        shares={label: max(0.0, one) / whole for label, one in lost.items()},
    )
