"""PURE: what the last two days show, to be set beside the long run where they disagree."""

from typing import Final

import msgspec

from timmyd.core.detect import wilson_interval

RECENT_S: Final = 2 * 86_400.0
LEAST_CALLS: Final = 5
"""With fewer calls in two days nothing is said of them."""

_STEP_S: Final = 6 * 3600.0
_STEPS: Final = int(RECENT_S / _STEP_S)
_MOST: Final = 4_000

Key = tuple[str, ...]


class Recent(msgspec.Struct, frozen=True):
    """The success rate of the last two days, with its 95 % interval, and how many calls it is of."""

    success: float
    low: float
    high: float
    samples: int


class RecentCounts:
    """Successes and calls by key in steps of six hours; what is older than two days is dropped."""

    def __init__(self, saved: dict[Key, list[list[int]]] | None = None) -> None:
        """Go on from `counts` of another."""
        self.counts: dict[Key, list[list[int]]] = {} if saved is None else saved

    def learn(self, key: Key, *, ok: bool, at: float) -> None:
        """Count a rated call of `at`, Unix seconds."""
        step = int(at // _STEP_S)
        steps = self.counts.get(key)
        if steps is None:
            steps = self.counts[key] = []
            if len(self.counts) > _MOST:
                self._let_go()
        for one in reversed(steps):
            if one[0] == step:
                one[1] += ok
                one[2] += 1
                return
        steps.append([step, int(ok), 1])
        if len(steps) > _STEPS + 1:
            steps.remove(min(steps))

    def told(self, key: Key, now: float) -> Recent | None:
        """The last two days before `now`; None where they hold too few calls."""
        last = int(now // _STEP_S)
        steps = [one for one in self.counts.get(key, ()) if last - _STEPS <= one[0] <= last]
        calls = sum(one[2] for one in steps)
        if calls < LEAST_CALLS:
            return None
        good = sum(one[1] for one in steps)
        low, high = wilson_interval(good, calls)
        return Recent(good / calls, low, high, calls)

    def _let_go(self) -> None:
        newest = {key: max(steps)[0] if steps else 0 for key, steps in self.counts.items()}
        for key in sorted(newest, key=lambda known: (newest[known], known))[: _MOST // 10]:
            del self.counts[key]


def disagrees(recent: Recent, success: float) -> bool:
    """Whether the last two days speak against a success rate."""
    return not recent.low <= success <= recent.high
