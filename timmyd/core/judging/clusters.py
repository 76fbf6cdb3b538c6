"""Clusters: the calls of one session as one observation, and how alike the calls of a session are."""

import math
from typing import Final

import msgspec

from timmyd.core.detect import clamp
from timmyd.house.units import DAY_S


class Cluster(msgspec.Struct, array_like=True, gc=False):
    """Calls of one session on one signal: their sum, number and times (Unix seconds)."""

    total: float
    calls: int
    first_at: float
    last_at: float


class Closed(msgspec.Struct, frozen=True, array_like=True, gc=False, order=True):
    """A cluster that is over; `due` is the event time at which it was, the order of evidence."""

    due: float
    session: str
    total: float
    calls: int


class Clusters(msgspec.Struct, kw_only=True):
    """Gathers calls into clusters; one is over after silence, at a size, or at an age.

    Event times only. Calls are to be fed in event order within a batch; across batches one may
    come late by up to `idle_s`, which the caller checks: silence has not ended its cluster by then.

    Attributes:
        idle_s: Silence that ends a cluster, seconds.
        size: Calls that end it.
        age_s: Seconds since its first call that end it.
        open: By session; as many as there are live sessions.
    """

    idle_s: float = 900.0
    size: int = 50
    age_s: float = 21_600.0
    open: dict[str, Cluster] = {}

    def add(self, session: str, x: float, at: float) -> list[Closed]:
        """Take in one call; returns what it ended, in event order."""
        closed: list[Closed] = []
        cluster = self.open.get(session)
        if cluster is not None and at >= (due := self._due(cluster)):
            closed.append(self._close(session, due))
            cluster = None
        if cluster is None:
            self.open[session] = cluster = Cluster(x, 1, at, at)
        else:
            cluster.total += x
            cluster.calls += 1
            cluster.first_at = min(cluster.first_at, at)
            cluster.last_at = max(cluster.last_at, at)
        if cluster.calls >= self.size:
            closed.append(self._close(session, cluster.last_at))
        return closed

    def over(self, now: float) -> list[Closed]:
        """End what is over by `now`, Unix seconds; in event order."""
        due = [(self._due(cluster), session) for session, cluster in self.open.items()]
        return sorted(self._close(session, at) for at, session in due if at <= now)

    def _due(self, cluster: Cluster) -> float:
        return min(cluster.last_at + self.idle_s, cluster.first_at + self.age_s)

    def _close(self, session: str, due: float) -> Closed:
        cluster = self.open.pop(session)
        return Closed(due, session, cluster.total, cluster.calls)


class DesignEffect(msgspec.Struct, kw_only=True):
    """How alike the calls of one session are, learned on the way, and what that takes from a count.

    n calls with correlation rho tell as much as n / (1 + (n - 1) rho) independent ones. Method of
    moments a closed session, decayed, shrunk to a prior, and a little pessimistic.

    Source:
        L. Kish, Survey Sampling (1965), design effect.
    """

    excess: float = 10.0
    calls: float = 50.0
    total: float = 0.0
    count: float = 0.0
    usual: float = 0.0
    half_life: float = 300.0
    safety: float = 1.25

    def update(self, total: float, calls: int) -> None:
        """Take in one closed session: the sum of `calls` numbers in [0, 1]."""
        g = 0.5 ** (1.0 / self.half_life)
        if self.count > 0.0 and calls > 1:
            p = clamp((self.total + 1.0) / (self.count + 2.0), 0.02, 0.98)
            spread = (total - calls * p) ** 2 / (p * (1.0 - p))
            self.excess = g * self.excess + (spread - calls) / (calls - 1)
            self.calls = g * self.calls + calls
        size = self.effective(calls)
        self.usual = (
            size if self.usual == 0.0 else self.usual + (1.0 - _USUAL) * (size - self.usual)
        )
        self.total = g * self.total + total
        self.count = g * self.count + calls

    @property
    def rho(self) -> float:
        """Correlation of two calls of one session, in [0.01, 0.9]."""
        return clamp(self.safety * self.excess / max(self.calls, 1e-9), 0.01, 0.9)

    def effective(self, calls: float) -> float:
        """How many independent calls a session of `calls` calls is worth."""
        return calls / (1.0 + (calls - 1.0) * self.rho)

    def weight(self, calls: int) -> float:
        """What a session of `calls` calls tells compared with a usual one; 1 before any was seen.

        Depends on sizes and on the past only, as `EDetector.update` asks.
        """
        return self.effective(calls) / self.usual if self.usual > 0.0 else 1.0


_USUAL: Final = 0.5 ** (1.0 / 100.0)
"""The usual worth of a session is a mean with a half-life of 100 sessions."""


class DecayedTally(msgspec.Struct, kw_only=True):
    """A decayed count of successes and calls, each weighted; for estimates, never for a test."""

    half_life: float = 100.0
    total: float = 0.0
    count: float = 0.0
    clusters: float = 0.0

    def update(self, x: float, weight: float) -> None:
        """Take in one cluster with mean `x`, worth `weight` independent calls."""
        g = 0.5 ** (1.0 / self.half_life)
        self.total = g * self.total + weight * x
        self.count = g * self.count + weight
        self.clusters = g * self.clusters + 1.0

    @property
    def mean(self) -> float | None:
        """The decayed mean; None without data."""
        return self.total / self.count if self.count > 0.0 else None


class Pace(msgspec.Struct, kw_only=True):
    """Clusters a second, decayed with a half-life of a day, from event times alone."""

    weight: float = 0.0
    first_at: float | None = None
    last_at: float = 0.0

    def update(self, at: float) -> None:
        """One more cluster, at `at` Unix seconds."""
        if self.first_at is None:
            self.first_at = self.last_at = at
        later = max(at, self.last_at)
        self.weight = self.weight * 0.5 ** ((later - self.last_at) / DAY_S) + 1.0
        self.last_at = later

    def per_s(self, now: float) -> float:
        """Clusters a second as of `now`; 0 before there is one."""
        if self.first_at is None:
            return 0.0
        faded = self.weight * 0.5 ** (max(0.0, now - self.last_at) / DAY_S)
        span = max(now - self.first_at, 3600.0)
        return float(faded * math.log(2.0) / (DAY_S * (1.0 - 0.5 ** (span / DAY_S))))
