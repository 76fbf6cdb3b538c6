"""What our rule is measured against: the original rule, a Wilson test each tick, river's detectors."""

from collections import deque
from collections.abc import Callable
from typing import Any

from tests.worlds.knob_worlds import Call
from timmyd.core.detect import wilson_interval


class Window:
    """Successes and calls of the last three days."""

    def __init__(self, ticks: int = 4320) -> None:
        self.ticks = ticks
        self.parts: deque[tuple[int, int, int]] = deque()
        self.ok = self.calls = 0

    def feed(self, t: int, calls: list[Call]) -> None:
        if calls:
            ok = sum(call.ok for call in calls)
            self.parts.append((t, ok, len(calls)))
            self.ok += ok
            self.calls += len(calls)
        while self.parts and self.parts[0][0] <= t - self.ticks:
            _, ok, count = self.parts.popleft()
            self.ok -= ok
            self.calls -= count


class OriginalRule:
    """Lowers whenever the plain rate of three days is below the limit; no data counts as 0."""

    def __init__(self, limit: float) -> None:
        self.limit, self.window = limit, Window()

    def tick(self, t: int, calls: list[Call]) -> bool:
        self.window.feed(t, calls)
        rate = self.window.ok / self.window.calls if self.window.calls else 0.0
        return rate < self.limit


class WilsonEachTick:
    """Lowers whenever the upper end of the Wilson interval of three days is below the limit."""

    def __init__(self, limit: float) -> None:
        self.limit, self.window = limit, Window()

    def tick(self, t: int, calls: list[Call]) -> bool:
        self.window.feed(t, calls)
        if self.window.calls < 10:
            return False
        return wilson_interval(self.window.ok, self.window.calls, z=1.645).high < self.limit


class River:
    """A drift detector of river on single calls, begun anew after each alarm."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make, self.detector = make, make()

    def tick(self, _t: int, calls: list[Call]) -> bool:
        for call in calls:
            self.detector.update(1 - call.ok)
            if self.detector.drift_detected:
                self.detector = self.make()
                return True
        return False
