"""PURE: the chance of each of several options to be the best one, worked out without random draws."""

import math
from collections.abc import Sequence
from typing import Final

import msgspec

GRID: Final = 200
"""Points at which the densities are compared."""

_WIDE: Final = 6.0
"""Standard deviations on either side of a mean beyond which nothing is looked at."""
_COARSE: Final = GRID // 5
"""Points below the place where the best one may begin: there only the mass counts, not its form."""


class SuccessRate(msgspec.Struct, frozen=True, gc=False):
    """What is believed of an option: its success rate is Beta(good, bad) distributed.

    Attributes:
        good, bad: Weights of successes and failures, both above 0, the prior's included.
        handicap: What is taken off its success rate before it is compared (dear or slow).
    """

    good: float
    bad: float
    handicap: float = 0.0

    @property
    def mean(self) -> float:
        """The expected success rate."""
        return self.good / (self.good + self.bad)

    @property
    def deviation(self) -> float:
        """Its standard deviation."""
        return math.sqrt(self.mean * (1.0 - self.mean) / (self.good + self.bad + 1.0))


def chances(beliefs: Sequence[SuccessRate]) -> list[float]:
    """The probability of each option to have the highest success rate; they sum to 1.

    The integral of one density times the distributions of all others, by the midpoint rule over
    that part of the line that any of them may be on.

    Source:
        W. R. Thompson, Biometrika 25 (1933) 285: use each option as often as it is the best.
    """
    ends = [_ends(belief) for belief in beliefs]
    start = max((low for low, _ in ends), default=0.0)
    live = [i for i, (_, high) in enumerate(ends) if high >= start]
    found = [0.0] * len(beliefs)
    if len(live) == 1:
        found[live[0]] = 1.0
        return found
    points = _points(min(ends[i][0] for i in live), start, max(ends[i][1] for i in live))
    densities = [_density(beliefs[i], points) for i in live]
    for i, chance in zip(live, _first(densities), strict=True):
        found[i] = chance
    return found


def _ends(belief: SuccessRate) -> tuple[float, float]:
    middle, wide = belief.mean - belief.handicap, _WIDE * belief.deviation
    return max(-belief.handicap, middle - wide), min(1.0 - belief.handicap, middle + wide)


def _points(low: float, start: float, high: float) -> list[tuple[float, float]]:
    """Midpoints and widths: coarse up to `start`, fine from there on."""
    coarse = _COARSE if start > low else 0
    fine, points = GRID - coarse, []
    for count, left, right in ((coarse, low, start), (fine, start, high)):
        width = (right - left) / max(1, count)
        points += [(left + (k + 0.5) * width, width) for k in range(count)]
    return points


def _density(belief: SuccessRate, points: Sequence[tuple[float, float]]) -> list[float]:
    """The share of the belief's mass at each point."""
    good, bad, handicap = belief.good - 1.0, belief.bad - 1.0, belief.handicap
    log = math.log
    logs = [
        good * log(x + handicap) + bad * log(1.0 - x - handicap) + log(width)
        if width > 0.0 and 0.0 < x + handicap < 1.0
        else -math.inf
        for x, width in points
    ]
    top = max(logs)
    masses = [math.exp(value - top) for value in logs]
    total = sum(masses)
    return [mass / total for mass in masses]


def _first(densities: Sequence[Sequence[float]]) -> list[float]:
    """Who comes out first: at each point one density times what the others have below it."""
    below = []
    for density in densities:
        reached, row = 0.0, []
        for mass in density:
            row.append(reached + mass / 2.0)
            reached += mass
        below.append(row)
    found = [0.0] * len(densities)
    for k in range(len(densities[0])):
        product, left = 1.0, []
        for row in below:
            left.append(product)
            product *= row[k]
        right = 1.0
        for i in range(len(densities) - 1, -1, -1):
            found[i] += densities[i][k] * left[i] * right
            right *= below[i][k]
    total = sum(found)
    return [chance / total for chance in found]
