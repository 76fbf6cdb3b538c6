"""PURE: whose turn it is, so that nobody's work keeps another's waiting (start-time fair queueing).

Each owner has a virtual time that grows with what was spent on them; the one who is behind is next. Who
had nothing to do gains no credit by it. A rate binds only while somebody else waits: alone, an owner may
take all there is. After Goyal, Vin, Cheng: Start-time Fair Queuing (1996), with equal weights.
"""

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

_Owner = TypeVar("_Owner", bound=Hashable)


class Shares(Generic[_Owner]):
    """Shares time between owners, and holds each to a rate where others wait."""

    def __init__(self, *, per_s: float) -> None:
        """Start with nobody.

        Args:
            per_s: Things of one owner that are worked on in a second while another waits.
        """
        self.per_s = per_s
        self.bound: set[_Owner] = set()
        self._spent: dict[_Owner, float] = {}
        self._floor = 0.0
        self._second = 0
        self._count: dict[_Owner, int] = {}

    def next(self, waiting: Iterable[_Owner], now: float) -> _Owner | None:
        """Who is next of those that wait; None if nobody does.

        Args:
            waiting: Those with something to do.
            now: Of a clock that never jumps, in seconds.
        """
        if int(now) != self._second:
            self._second = int(now)
            self._count.clear()
        some = list(waiting)
        if not some:
            return None
        if len(some) > 1:
            under = [one for one in some if self._count.get(one, 0) < self.per_s]
            self.bound.update(set(some) - set(under) if under else ())
            some = under or some
        found = min(some, key=self._start)
        self._floor = self._start(found)
        return found

    def charge(self, owner: _Owner, spent_s: float) -> None:
        """One thing of an owner was worked on, and took so long."""
        self._spent[owner] = self._start(owner) + spent_s
        self._count[owner] = self._count.get(owner, 0) + 1

    def forget(self) -> None:
        """Let go of who is not ahead of the others; harmless."""
        self._spent = {one: at for one, at in self._spent.items() if at > self._floor}

    def _start(self, owner: _Owner) -> float:
        return max(self._spent.get(owner, 0.0), self._floor)
