"""What every part of the daemon is given of the world outside it: who is told, who counts, what time it is."""

from collections.abc import Callable
from typing import NamedTuple

from timmyd import __version__
from timmyd.clock import Clock, monotonic, now as wall_clock
from timmyd.core.clock_trust import ClockTrust, Skew
from timmyd.service.logs import EventLogger, silent
from timmyd.service.metrics import Metrics


class Outside(NamedTuple):
    """The world outside.

    Attributes:
        log: Told what happens.
        metrics: Counts the same.
        clock: The time of what is recorded, Unix seconds, as it is believed.
        steady: A clock that never jumps, in seconds; for deadlines.
        wall: The time as others on this machine see it; for what is published.
        trust: What is held of that time.
    """

    log: EventLogger
    metrics: Metrics
    clock: Clock = wall_clock
    steady: Clock = monotonic
    wall: Clock = wall_clock
    trust: Callable[[], ClockTrust] = ClockTrust

    def skew(self) -> Skew:
        """How wrong the clock of this machine is held to be."""
        return self.trust().skew


def nobody_listens(clock: Clock = wall_clock) -> Outside:
    """An outside in which nothing is heard."""
    return Outside(silent(), Metrics(__version__), clock, wall=clock)
