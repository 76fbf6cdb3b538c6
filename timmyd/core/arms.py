"""PURE: what is known of one option among several: decayed counts, price, and a check on freedom.

An option may look bad only because hard cases are sent to it by those who choose for themselves.
So executions that followed the published choice are counted on their own, and compared with the
others block by block, at the same time.
"""

import math

import msgspec

_KEEP, _GAP_AT, _PRICE_KEEP = 0.98, 2.5, 0.98


class Arm(msgspec.Struct):
    """Decayed successes and executions: of all, and of those that followed what was published.

    `block` holds the present block's successes and executions, of followers and of others;
    `gap` and `noise` sum over blocks how much better the followers did, and its variance.
    """

    good: float = 0.0
    seen: float = 0.0
    good_followed: float = 0.0
    seen_followed: float = 0.0
    block: list[float] = msgspec.field(default_factory=lambda: [0.0] * 4)
    gap: float = 0.0
    noise: float = 0.0
    cost: float | None = None
    latency_ms: float | None = None

    def learn(self, good: float, weight: float, *, followed: bool) -> None:
        """Count one execution."""
        self.good += good
        self.seen += weight
        self.block[0 if followed else 2] += good
        self.block[1 if followed else 3] += weight
        if followed:
            self.good_followed += good
            self.seen_followed += weight

    def fade(self, keep: float, *, followed: bool) -> None:
        """Let older executions count less."""
        self.good *= keep
        self.seen *= keep
        if followed:
            self.good_followed *= keep
            self.seen_followed *= keep

    def counts(self, *, followed: bool) -> tuple[float, float]:
        """Decayed successes and executions."""
        return (self.good_followed, self.seen_followed) if followed else (self.good, self.seen)

    @property
    def differs(self) -> bool:
        """Do followers and others differ at the same time, beyond three standard errors?"""
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


def beats(a: tuple[float, float, float], b: tuple[float, float, float]) -> float:
    """Probability that `a` is better than `b`, by the normal approximation."""
    return 0.5 * math.erfc(-(a[0] - b[0]) / math.sqrt(2.0 * (a[1] + b[1] + 1e-12)))
