"""PURE: what is known of one option among several: counts under three memories, price, freedom.

How fast options change is not known, so an option is remembered three times, briefly, longer and
long. Each memory foretells every outcome of its option before it learns it, and is believed by how
well it did: while nothing changes the long one is precise, after a change the brief one is right.

An option may look bad only because hard cases are sent to it by those who choose for themselves.
So executions that followed the published choice are counted on their own, and compared with the
others block by block, at the same time.
"""

import math

import msgspec

MEMORIES = (60.0, 400.0, 3000.0)
"""Executions of all options after which the weight of one has faded to 1/e."""
PRIOR = 4.0
"""An option starts as so many executions at the usual success rate."""

_BELIEFS = (0.1, 0.5, 0.4)
_BELIEF_BACK = 0.02
"""Share of the belief that goes back to its start with each execution: what was right may change."""
_SUREST = 0.999
"""No memory foretells more surely: one surprise must not refute them all."""
_KEEP, _GAP_AT, _PRICE_KEEP = 0.98, 2.5, 0.98


class Estimate(msgspec.Struct, frozen=True, gc=False):
    """A success rate: its posterior mean and variance, and the executions that count."""

    mean: float
    variance: float
    seen: float


class Memories(msgspec.Struct):
    """Successes and executions under each memory, as of `clock`, and how much each is believed.

    Time is counted in executions of all options and handed in; asking changes nothing.

    Source:
        Forecasts mixed by their likelihood, with a share that goes back to the start: Herbster,
        Warmuth, Machine Learning 32 (1998) 151.
    """

    good: list[float] = msgspec.field(default_factory=lambda: [0.0] * len(MEMORIES))
    seen: list[float] = msgspec.field(default_factory=lambda: [0.0] * len(MEMORIES))
    belief: list[float] = msgspec.field(default_factory=lambda: list(_BELIEFS))
    clock: float = 0.0

    def learn(self, weight: float, *, ok: bool, usual: float, clock: float) -> None:
        """Judge the memories by one execution, then teach it to them."""
        good, seen = self._faded(clock)
        for i, believed in enumerate(self.belief):
            foretold = (good[i] + PRIOR * usual) / (seen[i] + PRIOR)
            foretold = min(_SUREST, max(1.0 - _SUREST, foretold))
            self.belief[i] = believed * (foretold if ok else 1.0 - foretold) ** weight
            good[i] += weight if ok else 0.0
            seen[i] += weight
        total, back = sum(self.belief), _BELIEF_BACK * weight
        for i, start in enumerate(_BELIEFS):
            self.belief[i] = (1.0 - back) * self.belief[i] / total + back * start
        self.good, self.seen, self.clock = good, seen, clock

    def estimate(self, usual: float, clock: float) -> Estimate:
        """The success rate, shrunk to the usual one; unsure where the memories disagree."""
        good, seen = self._faded(clock)
        means = [(g + PRIOR * usual) / (n + PRIOR) for g, n in zip(good, seen, strict=True)]
        mean = sum(b * m for b, m in zip(self.belief, means, strict=True))
        variance = sum(
            b * (m * (1.0 - m) / (n + PRIOR + 1.0) + (m - mean) ** 2)
            for b, m, n in zip(self.belief, means, seen, strict=True)
        )
        return Estimate(mean, variance, sum(b * n for b, n in zip(self.belief, seen, strict=True)))

    def _faded(self, clock: float) -> tuple[list[float], list[float]]:
        gone = max(0.0, clock - self.clock)
        keep = [math.exp(-gone / memory) for memory in MEMORIES]
        good = [k * g for k, g in zip(keep, self.good, strict=True)]
        return good, [k * n for k, n in zip(keep, self.seen, strict=True)]


class Arm(msgspec.Struct):
    """One option: what all of its executions show, and those that followed what was published.

    `block` holds the present block's successes and executions, of followers and of others;
    `gap` and `noise` sum over blocks how much better the followers did, and its variance.
    """

    all: Memories = msgspec.field(default_factory=Memories)
    followed: Memories = msgspec.field(default_factory=Memories)
    block: list[float] = msgspec.field(default_factory=lambda: [0.0] * 4)
    gap: float = 0.0
    noise: float = 0.0
    cost: float | None = None
    latency_ms: float | None = None

    def note(self, weight: float, *, ok: bool, followed: bool) -> None:
        """Count one execution in the present block."""
        self.block[0 if followed else 2] += weight if ok else 0.0
        self.block[1 if followed else 3] += weight

    @property
    def differs(self) -> bool:
        """Do followers and others differ at the same time, beyond two and a half standard errors?"""
        return self.noise > 0.0 and self.gap**2 > _GAP_AT**2 * self.noise

    def close_block(self) -> None:
        """Compare followers and others of the same time (Mantel-Haenszel weights)."""
        good, seen, other_good, other_seen = self.block
        self.block = [0.0] * 4
        self.gap *= _KEEP
        self.noise *= _KEEP**2
        if seen > 0 and other_seen > 0:
            weight = seen * other_seen / (seen + other_seen)
            usual = (good + other_good + 1.0) / (seen + other_seen + 2.0)
            self.gap += weight * (good / seen - other_good / other_seen)
            self.noise += weight * usual * (1.0 - usual)


def blend(old: float | None, new: float | None) -> float | None:
    """A decayed mean; None while nothing was told."""
    if new is None or old is None:
        return new if old is None else old
    return _PRICE_KEEP * old + (1.0 - _PRICE_KEEP) * new


def beats(a: Estimate, b: Estimate) -> float:
    """Probability that `a` is better than `b`, by the normal approximation."""
    return 0.5 * math.erfc(-(a.mean - b.mean) / math.sqrt(2.0 * (a.variance + b.variance + 1e-12)))
