"""PURE: counts that fade, a test for change, and a comparison of followers with others."""

from typing import Final

import msgspec

_GAP_AT: Final = 2.5
_GAP_KEEP: Final = 0.98


class Counts(msgspec.Struct, array_like=True, gc=False):
    """Successes and calls, each call worth a little less with every later one."""

    good: float = 0.0
    seen: float = 0.0
    at: float = 0.0

    def add(self, good: float, seen: float) -> None:
        """Count; negative where something is taken out again."""
        self.good = max(0.0, self.good + good)
        self.seen = max(0.0, self.seen + seen)

    def fade(self, keep: float, clock: float) -> None:
        """Let the calls up to `clock` pass."""
        if clock != self.at:
            left = keep ** (clock - self.at)
            self.good, self.seen, self.at = self.good * left, self.seen * left, clock

    def shrink(self, left: float) -> None:
        """Keep only a share."""
        self.good, self.seen = self.good * left, self.seen * left


class Drift(msgspec.Struct, array_like=True, gc=False):
    """Whether an option rose or fell: two cumulative sums of log likelihood ratios.

    Source:
        E. S. Page, Biometrika 41 (1954) 100.
    """

    rise: float = 0.0
    fall: float = 0.0

    def update(self, up: float, down: float) -> float:
        """Take in what one call says for a rise and for a fall; returns the larger sum."""
        self.rise, self.fall = max(0.0, self.rise + up), max(0.0, self.fall + down)
        return max(self.rise, self.fall)


class Apart(msgspec.Struct, array_like=True, gc=False):
    """Calls that followed what was published against calls of the same time that did not.

    `gap` and `noise` sum over blocks how much better the followers did, and its variance.
    """

    good: float = 0.0
    seen: float = 0.0
    other_good: float = 0.0
    other_seen: float = 0.0
    gap: float = 0.0
    noise: float = 0.0

    def close(self) -> None:
        """End a block: compare what is in it (Mantel-Haenszel weights)."""
        self.gap *= _GAP_KEEP
        self.noise *= _GAP_KEEP**2
        if self.seen > 0.0 and self.other_seen > 0.0:
            both = self.seen + self.other_seen
            weight = self.seen * self.other_seen / both
            usual = (self.good + self.other_good + 1.0) / (both + 2.0)
            self.gap += weight * (self.good / self.seen - self.other_good / self.other_seen)
            self.noise += weight * usual * (1.0 - usual)
        self.good = self.seen = self.other_good = self.other_seen = 0.0

    @property
    def differs(self) -> bool:
        """Whether they differ beyond two and a half standard errors."""
        return self.noise > 0.0 and self.gap**2 > _GAP_AT**2 * self.noise
