"""PURE: whether a success rate fell from its own level, and whether it came back.

A cumulative sum of log likelihood ratios, call by call, of "it fell by so much" against "it is as it
was". The calls of a session are alike, so each is judged by what its session has shown: the next of m
calls of which k succeeded does so with the beta-binomial probability (p K + k) / (K + m), where K says
how much sessions differ. The own level is counted from sessions that raise no suspicion, so that it
does not follow a fall.

Source:
    E. S. Page, Biometrika 41 (1954) 100; the predictive of J. G. Skellam, J. R. Stat. Soc. B 10
    (1948) 257.
"""

import math
from typing import Final

import msgspec

from timmyd.core.detect import clamp, logit, sigmoid

ALARM: Final = 10.5
"""Log likelihood ratio from which a fall is told."""
BACK: Final = 7.0
"""The same for a recovery, which is expected, and harmless where it is told too early."""
DEPTHS: Final = (0.6, 1.2, 2.5, 4.0)
"""Falls that are looked for, in logits."""
EXTRA: Final = (1.5, 0.75, 0.5, 0.5)
"""How much more evidence than `ALARM` each of them needs: shallow ones are met more often by chance."""
WARM: Final = 100.0
"""Calls that a level stands on before anything is told of it."""

_SHALLOWEST: Final = 0.3
_WAIT_MOST: Final = 1_000.0
"""Calls after which a suspicion that came to nothing is over."""
_KEEP: Final = 0.5 ** (1.0 / 3_000.0)
_MARGIN: Final = 0.01
_LEAST, _MOST, _SURE = 0.03, 0.985, 0.002
_ALIKE, _ALIKE_WORTH = 0.2, 100.0
_ALIKE_LEAST, _ALIKE_MOST = 0.02, 0.7
_SESSION_IDLE_S: Final = 6 * 3600.0
_SESSIONS_MOST: Final = 32


class Level(msgspec.Struct):
    """The own level of a signal: decayed calls and successes, and how alike the calls of a session are."""

    good: float = 0.0
    seen: float = 0.0
    excess: float = 0.0
    pairs: float = 0.0

    @property
    def mean(self) -> float:
        """Success rate; a little less than 1 where nothing ever failed."""
        return (self.good + 0.9) / (self.seen + 1.0)

    @property
    def alike(self) -> float:
        """Correlation of two calls of one session, by moments, shrunk to the usual."""
        rho = (self.excess + _ALIKE * _ALIKE_WORTH) / (self.pairs + _ALIKE_WORTH)
        return clamp(rho, _ALIKE_LEAST, _ALIKE_MOST)

    def limit(self) -> float:
        """The level less what it may be off by: what counts as "as it was"."""
        mean = self.mean
        size = 1.0 + 5.0 * self.alike
        error = math.sqrt(max(mean * (1.0 - mean), 0.01) * size / (self.seen + 1.0))
        unsure = 0.5 + 2.0 * WARM / max(WARM, self.seen)
        return clamp(mean - _MARGIN - unsure * error, _LEAST, _MOST)

    def compare(self, calls: float, good: float) -> None:
        """Learn from a session that is over how alike its calls are."""
        if self.seen >= WARM and calls > 1.0:
            keep, p = _KEEP**calls, clamp(self.mean, 0.02, 0.98)
            spread = (good - calls * p) ** 2 / (p * (1.0 - p))
            self.excess = keep * self.excess + (spread - calls) / (calls - 1.0)
            self.pairs = keep * self.pairs + calls


class SessionSoFar(msgspec.Struct, array_like=True):
    """What a session has shown: calls, successes, time of the last; and less what each level foretold."""

    calls: float
    good: float
    last_at: float
    rests: list[float]


class Suspicion(msgspec.Struct, array_like=True):
    """One cumulative sum: its value, since when it is above 0, calls and successes since then."""

    value: float = 0.0
    since: float = 0.0
    calls: float = 0.0
    good: float = 0.0

    def add(self, gain: float, at: float, y: float) -> None:
        """Add a log likelihood ratio; below 0 it starts again."""
        if self.value <= 0.0:
            self.value, self.since, self.calls, self.good = 0.0, at, 0.0, 0.0
        self.value += gain
        self.calls += 1.0
        self.good += y
        self.value = max(0.0, self.value)


class Fallen(msgspec.Struct):
    """A fall that was told: when it began, its depth in logits, and the evidence of recovery."""

    since: float
    before: float
    depth: float = 1.0
    back: Suspicion = msgspec.field(default_factory=Suspicion)
    calls: float = 0.0
    good: float = 0.0

    def take_in(self, calls: float, good: float) -> None:
        """Count calls that speak for no recovery, and say anew how deep it fell."""
        self.calls, self.good = self.calls + calls, self.good + good
        level = (self.good + 0.5) / (self.calls + 1.0)
        before = clamp(self.before, _LEAST, _MOST)
        self.depth = max(_SHALLOWEST, logit(before) - logit(clamp(level, _LEAST, _MOST)))

    @property
    def now(self) -> float:
        """The success rate since then."""
        return self.good / self.calls if self.calls else self.before


class FallDetector(msgspec.Struct):
    """Watches one signal; after a fall it waits for the recovery.

    Attributes:
        level: Its own level.
        sums: The evidence of a fall of each depth.
        open: The sessions that are going on.
        fallen: The fall that was told, until the recovery.
        waiting: Calls and successes that the level has not taken in yet.
        last_at: Event time of the last call, Unix seconds.
        told: The evidence on which the last fall was told.
    """

    level: Level = msgspec.field(default_factory=Level)
    sums: list[Suspicion] = msgspec.field(default_factory=lambda: [Suspicion() for _ in DEPTHS])
    open: dict[str, SessionSoFar] = {}
    fallen: Fallen | None = None
    waiting: list[float] = msgspec.field(default_factory=lambda: [0.0, 0.0])
    last_at: float = 0.0
    told: float = 0.0

    @property
    def evidence(self) -> float:
        """Log likelihood ratio of a fall."""
        return max(one.value - extra for one, extra in zip(self.sums, EXTRA, strict=True))

    def update(self, session: str, at: float, usual: float, *, ok: bool) -> None:
        """Take in a call.

        Args:
            session: Whose.
            at: Unix seconds; in order.
            usual: How likely it was to succeed, if all is as it was.
            ok: Whether it did.
        """
        self.last_at = at
        y, z = (1.0 if ok else 0.0), logit(usual)
        depths = DEPTHS if self.fallen is None else (self.fallen.depth,)
        levels = (usual, *(sigmoid(z - depth) for depth in depths))
        one = self._session(session, at, len(levels))
        rho = self.level.alike
        worth = (1.0 - rho) / rho + one.calls
        chances = [
            clamp(p + rest / worth, _SURE, 1.0 - _SURE)
            for p, rest in zip(levels, one.rests, strict=True)
        ]
        likely = [math.log(p if ok else 1.0 - p) for p in chances]
        one.rests = [rest + y - p for rest, p in zip(one.rests, levels, strict=True)]
        one.calls, one.good, one.last_at = one.calls + 1.0, one.good + y, at
        fallen = self.fallen
        if fallen is not None:
            fallen.back.add(likely[0] - likely[1], at, y)
            self.waiting = [self.waiting[0] + 1.0, self.waiting[1] + y]
            if fallen.back.value == 0.0:
                fallen.take_in(*self.waiting)
                self.waiting = [0.0, 0.0]
            return
        for found, under in zip(self.sums, likely[1:], strict=True):
            found.add(under - likely[0], at, y)
        self.waiting = [self.waiting[0] + 1.0, self.waiting[1] + y]
        if self.level.seen < WARM:
            self._take_in()
            self.sums = [Suspicion() for _ in DEPTHS]
        elif self.sums[0].value == 0.0 or self.waiting[0] > _WAIT_MOST:
            self._take_in()

    def fall(self) -> Fallen:
        """Hold that it fell, on the evidence there is; from now on its recovery is waited for."""
        self.told = self.evidence
        found = max(self.sums, key=lambda one: one.value)
        self.fallen = Fallen(found.since, self.level.mean)
        self.fallen.take_in(found.calls, found.good)
        self._start()
        return self.fallen

    def calm(self) -> None:
        """Let go of the evidence: another signal has told of it."""
        self._start()

    def recover(self) -> None:
        """Hold that it is as it was."""
        self.fallen = None
        self._start()

    def accept(self) -> None:
        """What it fell to is its own level from now on."""
        if self.fallen is not None:
            calls, good = min(self.fallen.calls, 600.0), self.fallen.now
            self.level.good, self.level.seen = calls * good, calls
        self.recover()

    def _start(self) -> None:
        self.sums = [Suspicion() for _ in DEPTHS]
        self.open, self.waiting = {}, [0.0, 0.0]

    def _take_in(self) -> None:
        keep = _KEEP ** self.waiting[0]
        self.level.good = keep * self.level.good + self.waiting[1]
        self.level.seen = keep * self.level.seen + self.waiting[0]
        self.waiting = [0.0, 0.0]

    def _session(self, name: str, at: float, levels: int) -> SessionSoFar:
        one = self.open.get(name)
        if one is None or len(one.rests) != levels:
            while self.open:  # those that began first; looking at all of them would take its time
                first = next(iter(self.open))
                idle = at - self.open[first].last_at > _SESSION_IDLE_S
                if not idle and len(self.open) < _SESSIONS_MOST:
                    break
                self._close(first)
            one = self.open[name] = SessionSoFar(0.0, 0.0, at, [0.0] * levels)
        return one

    def _close(self, name: str) -> None:
        one = self.open.pop(name)
        if self.fallen is None:
            self.level.compare(one.calls, one.good)
