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
    best: tuple[float, Fall] | None = None
    for days in WINDOWS_DAYS:
        found = _compared(rows, stratum, now_hour - days * DAY_HOURS, days)
        if found is not None and (best is None or found[0] > best[0]):
            best = found
    return None if best is None else best[1]


def _compared(
    rows: Iterable[HourCount], stratum: Label, since: int, days: int
) -> tuple[float, Fall] | None:
    before: dict[str, dict[int, list[int]]] = {}
    lately: dict[str, list[int]] = {}
    for row in rows:
        if not row.rated:
            continue
        label = stratum(row)
        if row.hour >= since:
            cell = lately.setdefault(label, [0, 0])
        else:
            cell = before.setdefault(label, {}).setdefault(row.hour // DAY_HOURS, [0, 0])
        cell[0] += row.ok
        cell[1] += row.rated
    missing = variance = expected = chi = 0.0
    calls = good = past = cells = 0
    seen: set[int] = set()
    lost: dict[str, float] = {}
    for label, (ok, n) in lately.items():
        by_day = before.get(label, {})
        then = sum(cell[1] for cell in by_day.values())
        if then < _LEAST_NOW:
            continue
        p = (sum(cell[0] for cell in by_day.values()) + 0.5) / (then + 1.0)
        lost[label] = n * p - ok
        missing += lost[label]
        expected += n * p
        variance += n * p * (1.0 - p) * (1.0 + n / then)
        calls, good, past = calls + n, good + ok, past + then
        for day, (one, m) in by_day.items():
            chi += (one - m * p) ** 2 / (m * p * (1.0 - p))
            cells += 1
            seen.add(day)
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
