"""Whether the wall clock can be believed, and what time it is where it cannot (law 6).

A clock that was wrong once must cost nothing that cannot be had again. Its witnesses are our own last
tick, a clock that never jumps (it counts suspended time, too), the day on which this program cannot
have run yet, and how new the evidence and the files of the median owner are. Where they contradict it,
time goes on from what they say, nothing is deleted, and nothing is too old. That ends when the system
reports its time synchronised, when the clock jumps back to what was believed, or after a day at one
offset: nobody but the operator knows better then.
"""

import statistics
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

SLACK_S: Final = 300.0
"""Differences up to this are what clocks do."""

PAUSE_S: Final = 7 * 86_400.0
"""A machine may have been off, and its owners away, for so long without anybody wondering."""

WAIT_S: Final = 86_400.0
"""After so long at one offset the clock is believed."""

EARLIEST: Final = 1_767_225_600.0
"""2026-01-01: this program is younger, so a clock before it is wrong, whoever agrees with it."""

EARLIEST_CALL: Final = 1_577_836_800.0
"""2020-01-01: there was no Hermes before; what claims to be older was written under a clock without a date."""


class ClockReading(NamedTuple):
    """Both clocks at one moment.

    Attributes:
        wall: Unix seconds, as the system has them.
        steady: Seconds of a clock that never jumps, since an unknown moment of this boot.
        boot: Names the boot; None where that is not known.
    """

    wall: float
    steady: float
    boot: str | None = None


class Skew(NamedTuple):
    """How wrong the wall clock is held to be.

    Attributes:
        ahead_s: So far ahead of what is believed; 0 if it is believed.
        since: What it showed when it was first doubted, Unix seconds.
    """

    ahead_s: float = 0.0
    since: float = 0.0

    def dated(self, at: float, now: float) -> tuple[float, bool]:
        """When something happened that claims `at`, and whether that is only about right.

        Args:
            at: As the writer's clock had it, Unix seconds.
            now: As it is believed; nothing happened later.
        """
        if self.ahead_s > 0 and at > now + SLACK_S:
            return min(at - self.ahead_s, now), True
        if self.ahead_s < 0 and at >= self.since - SLACK_S:
            return min(at - self.ahead_s, now), True
        return min(at, now), at > now + SLACK_S


class ClockTrust(msgspec.Struct, frozen=True, kw_only=True):
    """What is held of the wall clock; kept with every tick.

    Attributes:
        wall: What it showed at the last look, and `steady`, `boot` of the same look.
        ahead_s: How far it is ahead of what is believed; 0 if it is believed.
        since: What it showed when it was first doubted, Unix seconds.
        waiting_since: Since when it is at this offset, on the steady clock.
        jumps: How often it jumped, and `jump_s`, `jumped_at`: how far it did last, and when.
    """

    wall: float = 0.0
    steady: float = 0.0
    boot: str | None = None
    ahead_s: float = 0.0
    since: float = 0.0
    waiting_since: float = 0.0
    jumps: int = 0
    jump_s: float = 0.0
    jumped_at: float | None = None

    @property
    def now(self) -> float:
        """The time that is believed, Unix seconds."""
        return self.wall - self.ahead_s

    @property
    def skew(self) -> Skew:
        """For dating what comes in."""
        return Skew(self.ahead_s, self.since)

    def look(self, reading: ClockReading) -> "ClockTrust":
        """What is held after another look in the same boot."""
        passed_s = max(0.0, reading.steady - self.steady)
        jump_s = reading.wall - self.wall - passed_s
        seen = msgspec.structs.replace(
            self, wall=reading.wall, steady=reading.steady, boot=reading.boot
        )
        if abs(jump_s) > SLACK_S:
            seen = seen.doubted(self.ahead_s + jump_s, jump_s)
        is_over = abs(seen.ahead_s) <= SLACK_S or seen.steady - seen.waiting_since >= WAIT_S
        return seen.synchronised() if seen.ahead_s and is_over else seen

    def doubted(self, ahead_s: float, jump_s: float) -> "ClockTrust":
        """It jumped so far just now, and is so far ahead."""
        return msgspec.structs.replace(
            self,
            ahead_s=ahead_s,
            since=self.since if self.ahead_s else self.wall,
            waiting_since=self.steady,
            jumps=self.jumps + 1,
            jump_s=jump_s,
            jumped_at=self.wall - ahead_s,
        )

    def synchronised(self) -> "ClockTrust":
        """The system says that its time is right."""
        return msgspec.structs.replace(self, ahead_s=0.0)


def first_look(
    reading: ClockReading, *, last: ClockTrust | None, newest: Sequence[float] = ()
) -> ClockTrust:
    """What is held when a process starts.

    Args:
        reading: Both clocks now.
        last: What was held at the last tick of an earlier process.
        newest: Of each owner, when their newest call ran or their newest file was written.
    """
    if last is not None and last.boot is not None and last.boot == reading.boot:
        return last.look(reading)
    ticked_at = EARLIEST if last is None else max(EARLIEST, last.now)
    known = max(ticked_at, statistics.median_low(newest)) if newest else ticked_at
    is_behind = reading.wall < ticked_at - SLACK_S
    has_witness = last is not None or bool(newest)
    is_ahead = has_witness and reading.wall > known + PAUSE_S
    gap_s = reading.wall - known
    jumps = 0 if last is None else last.jumps
    trust = ClockTrust(wall=reading.wall, steady=reading.steady, boot=reading.boot, jumps=jumps)
    return trust.doubted(gap_s, gap_s) if is_behind or is_ahead else trust
