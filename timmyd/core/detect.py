"""Evidence that may be looked at every tick: intervals for display, e-detectors for decisions."""

import math
from typing import Final, Literal, NamedTuple

import msgspec

Z_95: Final = 1.959963984540054
"""Two-sided 95 % width of the normal distribution, in standard deviations."""

SHIFTS: Final = (0.3, 0.6, 1.0, 1.6, 2.5, 4.0)
"""The alternatives an e-detector bets on: so many logits on the wrong side of the limit."""

CAP: Final = 10.0
"""A component is worth at most so many times the alarm level, so that an alarm fades with the trouble."""

_BISECTIONS: Final = 50
_EDGE: Final = 1e-9


class Interval(NamedTuple):
    """A lower and an upper end."""

    low: float
    high: float


def clamp(x: float, low: float, high: float) -> float:
    """The point of [low, high] that is nearest to `x`."""
    return low if x < low else min(x, high)


def logit(p: float) -> float:
    """Log odds of a probability in (0, 1)."""
    return math.log(p / (1.0 - p))


def sigmoid(z: float) -> float:
    """The probability with the log odds `z`; does not overflow."""
    if z >= 0.0:
        return 1.0 / (1.0 + math.exp(-z))
    e = math.exp(z)
    return e / (1.0 + e)


class _TallyError(ValueError):
    def __init__(self, successes: float, trials: float) -> None:
        super().__init__(f"{successes} of {trials} is no tally")


def wilson_interval(successes: float, trials: float, *, z: float = Z_95) -> Interval:
    """Bound the success rate behind `successes` out of `trials`; for display, not for decisions.

    It holds for one look at independent calls. For correlated calls divide both counts by the
    design effect first; a decision that is taken again every tick needs an `EDetector`.

    Args:
        successes: How many succeeded, `0 <= successes <= trials`; decayed counts are allowed.
        trials: How many ran; 0 is allowed and gives (0, 1).
        z: Width in standard deviations, dimensionless.

    Raises:
        ValueError: The counts cannot be a tally.

    Source:
        E. B. Wilson, J. Am. Stat. Assoc. 22 (1927) 209.
    """
    if not 0.0 <= successes <= trials < math.inf:
        raise _TallyError(successes, trials)
    if trials == 0:
        return Interval(0.0, 1.0)
    p, z2 = successes / trials, z * z
    scale, centre = 1.0 + z2 / trials, p + z2 / (2.0 * trials)
    half = z * math.sqrt(max(0.0, p * (1.0 - p) / trials + z2 / (4.0 * trials * trials)))
    low = 0.0 if successes == 0 else max(0.0, (centre - half) / scale)
    return Interval(low, 1.0 if successes == trials else min(1.0, (centre + half) / scale))


def log_e_value(successes: float, failures: float, p: float) -> float:
    """Log evidence against "the success probability is `p`": uniform mixture over the alternatives.

    Source:
        H. Robbins, Ann. Math. Stat. 41 (1970) 1397 (mixture martingale, here beta-binomial).
    """
    mixed = (
        math.lgamma(successes + 1.0)
        + math.lgamma(failures + 1.0)
        - math.lgamma(successes + failures + 2.0)
    )
    return mixed - successes * math.log(p) - failures * math.log1p(-p)


def confidence_sequence(successes: float, trials: float, *, alpha: float = 0.05) -> Interval:
    """An interval that may be looked at for ever: it misses a constant rate ever with at most `alpha`.

    For independent calls; divide both counts by the design effect where they are not.

    Raises:
        ValueError: The counts cannot be a tally.
    """
    if not 0.0 <= successes <= trials < math.inf:
        raise _TallyError(successes, trials)
    if trials == 0:
        return Interval(0.0, 1.0)
    failures, bar = trials - successes, math.log(1.0 / alpha)
    middle = clamp(successes / trials, _EDGE, 1.0 - _EDGE)

    def end(inside: float, outside: float) -> float:
        for _ in range(_BISECTIONS):
            half = (inside + outside) / 2.0
            if log_e_value(successes, failures, half) >= bar:
                outside = half
            else:
                inside = half
        return outside

    low = end(middle, _EDGE / 1e3) if successes > 0 else 0.0
    return Interval(low, end(middle, 1.0 - _EDGE / 1e3) if failures > 0 else 1.0)


class EDetector(msgspec.Struct, kw_only=True):
    """A mixture of Shiryaev-Roberts e-detectors of "the mean lies on the wrong side of `limit`".

    Feed it one number in [0, 1] a cluster. Under the null, E[x | past] >= limit for `below`, the
    value minus the number of updates is a supermartingale: the chance of an alarm within N updates
    is at most N / `level` and the average run to one is at least `level`, whatever the dependence
    inside a cluster and however often one looks. The factor 1 + bet (limit - x) is the
    likelihood ratio of `limit` shifted by `SHIFTS` for x in {0, 1}. No history, no window: every
    possible start of the trouble is in the sum. Six multiplications an update.

    Attributes:
        limit: In (0, 1).
        level: Alarm level; about one false alarm in so many clusters at the limit itself.
        side: Where the trouble lies.
        seen: Clusters since the last reset.
        value: The evidence now.
        hot_since: Event time at which the evidence rose above the level and has stayed; None below.
        hot_seen: Clusters since then.

    Source:
        J. Shin, A. Ramdas, A. Rinaldo, "E-detectors" (2022); measured in tests/worlds.
    """

    limit: float
    level: float
    side: Literal["below", "above"] = "below"
    seen: int = 0
    value: float = 0.0
    hot_since: float | None = None
    hot_seen: int = 0
    parts: list[float] = []
    bets: list[float] = []

    def __post_init__(self) -> None:
        """Derive the bets from the limit; a detector read back keeps its evidence."""
        self.set_limit(self.limit)
        if len(self.parts) != len(SHIFTS):
            self.reset()

    def set_limit(self, limit: float) -> None:
        """Move the limit; allowed at any time as long as it is computed from the past only."""
        self.limit = limit
        p = limit if self.side == "below" else 1.0 - limit
        z = logit(p)
        self.bets = [(p - sigmoid(z - shift)) / (p * (1.0 - p)) for shift in SHIFTS]

    def reset(self) -> None:
        """Forget all evidence."""
        self.parts = [0.0] * len(SHIFTS)
        self.seen, self.value = 0, 0.0
        self.hot_since, self.hot_seen = None, 0

    def update(self, x: float, at: float, weight: float = 1.0) -> bool:
        """Take in one cluster; True while the evidence stands at or above the level.

        Args:
            x: Mean of the cluster, in [0, 1].
            at: Event time of its end, Unix seconds.
            weight: How much it tells compared with a usual cluster; may depend on its size and on
                the past, not on its outcome. The mean that is tested is weighted by it.
        """
        gain = (self.limit - x if self.side == "below" else x - self.limit) * weight
        # A heavy cluster must not turn a factor negative: no bet beyond the largest one.
        most = self.bets[-1] * abs(gain) / weight
        parts, cap, total = self.parts, CAP * self.level, 0.0
        for k, bet in enumerate(self.bets):
            value = (1.0 + clamp(bet * gain, -most, most)) * (parts[k] + 1.0)
            value = min(value, cap)
            parts[k] = value
            total += value
        self.seen += 1
        self.value = total / len(parts)
        if self.value < self.level:
            self.hot_since, self.hot_seen = None, 0
            return False
        if self.hot_since is None:
            self.hot_since = at
        self.hot_seen += 1
        return True

    def confirmed(self, now: float, *, span_s: float, more: int) -> bool:
        """Whether the alarm has stood for `span_s` seconds and more than `more` clusters.

        An outage that has passed lets the evidence fade before that.
        """
        return (
            self.hot_since is not None and now - self.hot_since >= span_s and self.hot_seen > more
        )


class DropDetector(msgspec.Struct, kw_only=True):
    """Evidence that a signal fell from its own level, when nobody can name a limit.

    The baseline is a decayed mean of clusters, and stands still while the detector is suspicious,
    so that it does not chase the drop. The null is "mean >= baseline - max(`delta`, its standard
    error)"; it moves with the past only, so the bound of `EDetector` holds against it.

    Attributes:
        level: As in `EDetector`.
        delta: A fall smaller than this is none of our business.
        half_life: Clusters after which a cluster counts half in the baseline.
        warm: Effective clusters before anything is tested.
        freeze: Evidence above which the baseline stands still.
    """

    level: float
    delta: float = 0.05
    half_life: float = 1000.0
    warm: float = 30.0
    freeze: float = 30.0
    weight: float = 0.0
    weight_sq: float = 0.0
    total: float = 0.0
    total_sq: float = 0.0
    detector: EDetector | None = None

    def baseline(self) -> tuple[float, float] | None:
        """The own level and its standard error; None before `warm` clusters."""
        if self.weight == 0.0 or self.weight * self.weight / self.weight_sq < self.warm:
            return None
        mean = self.total / self.weight
        variance = max(self.total_sq / self.weight - mean * mean, 0.01)
        return mean, math.sqrt(variance * self.weight_sq) / self.weight

    def update(self, x: float, at: float, weight: float = 1.0) -> bool:
        """Take in one cluster mean in [0, 1]; True while the evidence stands at or above the level.

        `at` and `weight` are as in `EDetector.update`; the baseline is weighted likewise.
        """
        hot = False
        known = self.baseline()
        if known is not None:
            limit = clamp(known[0] - max(self.delta, known[1]), 0.05, 0.98)
            if self.detector is None:
                self.detector = EDetector(limit=limit, level=self.level)
            elif abs(limit - self.detector.limit) > _SAME_LIMIT:
                self.detector.set_limit(limit)
            hot = self.detector.update(x, at, weight)
        if self.detector is None or self.detector.value <= self.freeze:
            g = 0.5 ** (1.0 / self.half_life)
            self.weight = g * self.weight + weight
            self.weight_sq = g * g * self.weight_sq + weight * weight
            self.total, self.total_sq = (
                g * self.total + weight * x,
                g * self.total_sq + weight * x * x,
            )
        return hot

    def restart(self) -> None:
        """After an alarm: forget the old level and learn the new one."""
        self.weight = self.weight_sq = self.total = self.total_sq = 0.0
        self.detector = None


_SAME_LIMIT: Final = 0.004
"""Bets are derived anew only when the limit moved by more than this."""
