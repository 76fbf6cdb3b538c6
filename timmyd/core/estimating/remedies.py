"""PURE: what helped after a failure, from the order of calls alone: no argument, no output, no error text."""

import math
from typing import Any, Final, NamedTuple

import msgspec

from timmyd.core.model import Execution
from timmyd.house.outcome import RATED

MOST_REMEDIES: Final = 3
"""Remedies published of one failure."""

STEPS: Final = 6
"""Calls of the session after a failure within which it is tried again, or counts as left behind."""

_Z: Final = 2.576
_LEAST: Final = 5.0
_KEPT: Final = 0.5 ** (1.0 / 1_000.0)
_MOST_FAILURES: Final = 2_000
_MOST_REMEDIES: Final = 24
_MOST_SESSIONS: Final = 2_000
_MOST_OPEN: Final = 4


class Failure(NamedTuple):
    """What failed: a kind of call in a house, and the code of its error."""

    house: str
    tool: str
    shape: str
    error_type: str


class Remedy(NamedTuple):
    """A kind of call that helped.

    Attributes:
        tool: Its tool.
        shape: Its shape.
        success: Share of the cases in which the failure was over after it.
        low: Lower end of that share's 99 % interval (Wilson 1927).
        high: Upper end.
        lift: How much more than without it.
        samples: Cases, with forgetting.
    """

    tool: str
    shape: str
    success: float
    low: float
    high: float
    lift: float
    samples: float


class Episode(msgspec.Struct, array_like=True):
    """A failure whose end has not been seen: what came next, and how many calls are left to wait for it."""

    key: str
    left: int = STEPS
    then: str | None = None
    worked: bool = False


class Cases(msgspec.Struct, array_like=True):
    """How often a failure was over, in all, and by what came right after it and worked."""

    over: float = 0.0
    seen: float = 0.0
    after: dict[str, tuple[float, float]] = {}


class Remedies(msgspec.Struct):
    """What is known of every failure, and the failures of sessions at work whose end is still open."""

    cases: dict[str, Cases] = {}
    open: dict[int, list[Episode]] = {}

    def learn(self, execution: Execution) -> None:
        """Take a call in, in event order."""
        if execution.outcome not in RATED:
            return
        ok = execution.outcome == "ok"
        kind = f"{execution.tool}\0{execution.shape}"
        session = execution.session or -execution.id
        episodes = self.open.pop(session, [])
        left = [episode for episode in episodes if not self._goes_on(episode, kind, ok=ok)]
        key = f"{execution.house}\0{kind}\0{execution.error_type or ''}"
        if not ok and all(episode.key != key for episode in left) and len(left) < _MOST_OPEN:
            left.append(Episode(key))
        if left:
            self.open[session] = left
            while len(self.open) > _MOST_SESSIONS:
                del self.open[next(iter(self.open))]

    def _goes_on(self, episode: Episode, kind: str, *, ok: bool) -> bool:
        """Take the next call of the session into an episode; True if that ends it."""
        if kind == episode.key.partition("\0")[2].rpartition("\0")[0]:
            self._close(episode, over=ok)
            return True
        if episode.then is None:
            episode.then, episode.worked = kind, ok
        episode.left -= 1
        if episode.left > 0:
            return False
        self._close(episode, over=episode.worked)
        return True

    def _close(self, episode: Episode, *, over: bool) -> None:
        known = self.cases.pop(episode.key, None) or Cases()
        self.cases[episode.key] = known
        while len(self.cases) > _MOST_FAILURES:
            del self.cases[next(iter(self.cases))]
        known.over = known.over * _KEPT + over
        known.seen = known.seen * _KEPT + 1.0
        if episode.then is not None and episode.worked:
            before = known.after.pop(episode.then, (0.0, 0.0))
            known.after[episode.then] = before[0] * _KEPT + over, before[1] * _KEPT + 1.0
            while len(known.after) > _MOST_REMEDIES:
                del known.after[next(iter(known.after))]

    def known(self, house: str | None = None) -> dict[Failure, list[Remedy]]:
        """The failures that something helped against beyond chance, each with what helped most."""
        found = {}
        for key, cases in sorted(self.cases.items()):
            failure = Failure(*key.split("\0", 3))
            if house is None or failure.house == house:
                remedies = _beyond_chance(cases)
                if remedies:
                    found[failure] = remedies
        return found

    def forget(self, house: str) -> None:
        """Let go of all that a house has shown."""
        self.cases = {
            key: cases for key, cases in self.cases.items() if key.partition("\0")[0] != house
        }


def published(known: dict[Failure, list[Remedy]]) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """The part of the policy: house → failure, as tool, shape and error with `|` between → remedies."""
    table: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for failure, remedies in known.items():
        name = "|".join(failure[1:])
        table.setdefault(failure.house, {})[name] = [remedy._asdict() for remedy in remedies]
    return table


def _beyond_chance(cases: Cases) -> list[Remedy]:
    """What raises the share of failures that are over above what it is without it.

    The lower end of the difference's interval (Newcombe 1998, method 10) must lie above 0. Where a failure
    was never seen without the remedy, half of them are taken to pass by themselves.
    """
    found = []
    for kind, (over, samples) in cases.after.items():
        if samples < _LEAST:
            continue
        rate, without = over / samples, cases.seen - samples
        low, high = _wilson(rate, samples)
        base, base_high = 0.5, 0.5
        if without >= 1.0:
            base = min(max(0.0, cases.over - over), without) / without
            base_high = _wilson(base, without)[1]
        lift = rate - base
        if lift > math.hypot(rate - low, base_high - base):
            tool, _, shape = kind.partition("\0")
            rate, low, high, lift = (round(figure, 4) for figure in (rate, low, high, lift))
            found.append(Remedy(tool, shape, rate, low, high, lift, round(samples, 1)))
    return sorted(found, key=lambda one: (-one.low, one.tool, one.shape))[:MOST_REMEDIES]


def _wilson(rate: float, n: float) -> tuple[float, float]:
    middle = rate + _Z * _Z / (2.0 * n)
    spread = _Z * math.sqrt(max(0.0, rate * (1.0 - rate)) / n + _Z * _Z / (4.0 * n * n))
    whole = 1.0 + _Z * _Z / n
    return max(0.0, (middle - spread) / whole), min(1.0, (middle + spread) / whole)
