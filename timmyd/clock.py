"""The only place that reads a clock; everything else takes the time as an argument (law 6)."""

import time
from collections.abc import Callable

Clock = Callable[[], float]
"""Returns Unix seconds, UTC."""


def now() -> float:
    """The wall clock, in Unix seconds UTC. Can jump: use it for what is recorded, not for waiting."""
    return time.time()


def monotonic() -> float:
    """Seconds of a clock that never jumps, for deadlines and durations."""
    return time.monotonic()


def boottime() -> float:
    """Seconds since the machine started, asleep or awake; never jumps, the same for all processes."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def monotonic_us() -> int:
    """CLOCK_MONOTONIC in microseconds, as systemd wants it in MONOTONIC_USEC."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
