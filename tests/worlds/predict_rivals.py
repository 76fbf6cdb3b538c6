"""What the predictions must beat: plain means, and counts in a chain of fixed weights."""

from typing import Final


class Mean:
    """The mean of the calls of one key, shrunk to that of all calls."""

    def __init__(self) -> None:
        self.all = [1.6, 2.0]
        self.counts: dict[object, list[float]] = {}

    def expect(self, key: object) -> float:
        usual = self.all[0] / self.all[1]
        good, seen = self.counts.get(key, (0.0, 0.0))
        return (good + 2.0 * usual) / (seen + 2.0)

    def learn(self, key: object, *, ok: bool) -> None:
        for sums in (self.all, self.counts.setdefault(key, [0.0, 0.0])):
            sums[0] += ok
            sums[1] += 1.0


class Chain:
    """Levels of keys, the widest first, each with the weight of the level above in calls."""

    KEEP: Final = 1.0 - 1.0 / 400.0
    USUAL: Final = 0.77

    def __init__(self, weights: tuple[float, ...]) -> None:
        self.weights = weights
        self.counts: dict[object, tuple[float, float]] = {}

    def expect(self, keys: tuple[object, ...]) -> float:
        p = self.USUAL
        for key, weight in zip(keys, self.weights, strict=True):
            good, seen = self.counts.get(key, (0.0, 0.0))
            p = (good + weight * p) / (seen + weight)
        return p

    def learn(self, keys: tuple[object, ...], *, ok: bool) -> None:
        for key in keys:
            good, seen = self.counts.get(key, (0.0, 0.0))
            self.counts[key] = (self.KEEP * good + ok, self.KEEP * seen + 1.0)
