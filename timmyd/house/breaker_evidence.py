"""PURE: the evidence behind a breaker: detector, baseline and the memory of sessions.

The detector is a mixture of Shiryaev-Roberts sums against "the failure probability is at most
the limit". The calls of one session are correlated (bad input fails again and again), so a
session's later calls weigh less.
"""

from __future__ import annotations

import math
import zlib
from typing import Any

SHIFTS = (0.3, 0.6, 1.0, 1.6, 2.5, 4.0)
"""Alternatives of the detector: this many logits worse than the limit."""
CAP = 10.0
"""Evidence is held at this many times `open_at`, so that it can fade once the trouble is over."""
FREEZE_AT = 10.0
"""While the evidence is at least this, the baseline is not taught: it must not chase an outage."""
CORRELATION = 0.3
"""Assumed correlation of the calls of one session."""
DOWN = 0.9
"""Failure probability of a tool that is down."""
FRESH_AFTER = 24
"""A failure after so many successes in a row weighs in full again: the session's input is not bad."""
LARGEST = 1e15

_LIMIT_BASE, _LIMIT_SLOPE, _LIMIT_LEAST, _LIMIT_MOST, _LIMIT_STEP = 0.25, 1.5, 0.2, 0.8, 0.01
_PRIOR_FAILED, _PRIOR_SEEN, _KEEP = 0.1, 2.0, 0.5 ** (1 / 500)
_TOLD_SEEN = 6.0
_LONE_BASELINE, _LONE_MARGIN, _LONE_SAFETY = 0.05, 0.03, 1.25
_LONG_RUN, _SETTLED = 48, 6
"""After so many successes in a row each weighs as the seventh call: lighter ones let evidence pile up."""
_YOUNG, _HELD = 40.0, 6
"""Up to so many calls, outcomes teach the baseline 6 calls late: a new tool's outage must not."""
_SESSIONS_KEPT, _SESSION_MEMORY_S = 64, 1800.0


def finite(value: object, least: float, most: float) -> float | None:
    """`value` as a float if it is a number within the bounds, else None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if least <= value <= most else None


def number(value: object, least: float, most: float, default: float) -> float:
    """`value` as a float if it is a number within the bounds, else `default`."""
    found = finite(value, least, most)
    return default if found is None else found


def bets(limit: float) -> tuple[tuple[float, float], ...]:
    """Factors (after a failure, after a success) of each alternative against `failure <= limit`.

    Each pair is the likelihood ratio of a failure probability some logits above the limit to
    the limit itself, so its mean is at most 1 as long as the limit holds.

    Source:
        Shin, Ramdas, Rinaldo, "E-detectors" (2022), for the mixture of Shiryaev-Roberts sums.
    """
    z = math.log(limit / (1.0 - limit))
    worse = [1.0 / (1.0 + math.exp(-(z + shift))) for shift in SHIFTS]
    return tuple((q / limit, (1.0 - q) / (1.0 - limit)) for q in worse)


def lone_evidence(run: int, baseline: float) -> float:
    """Likelihood ratio of `run` failures in a row of ONE session: tool down, against bad input.

    Bad input is a session whose own failure probability is Beta distributed around the
    baseline with correlation 0.3: a tool that fails 5 times in 100 then shows 9 failures in a
    row about once in 1,000 sessions, a tool that fails 3 times in 10 so often that no run of
    one session convicts it.
    """
    spread = (1.0 - CORRELATION) / CORRELATION
    start = max(_LONE_BASELINE, baseline) * spread
    ratio = 1.0
    for i in range(min(run, 1000)):
        ratio *= DOWN * (spread + i) / (start + i)
    return ratio


class Evidence:
    """How sure we are that one tool now fails more often than its limit allows.

    Attributes:
        value: The evidence; under the limit it passes `c` at most once in `c` calls on average.
        failed: Decayed failures while all is well; with `seen` they make the baseline.
        all_failed: The same, also while it is not well.
    """

    __slots__ = (
        "_bets",
        "_bets_limit",
        "all_failed",
        "all_seen",
        "failed",
        "held",
        "parts",
        "seen",
        "value",
    )

    def __init__(self) -> None:
        self.failed, self.seen = _PRIOR_FAILED, _PRIOR_SEEN
        self.all_failed, self.all_seen = _PRIOR_FAILED, _PRIOR_SEEN
        self._bets_limit = self.limit
        self._bets = bets(self._bets_limit)
        self.parts = [0.0] * len(SHIFTS)
        self.value = 0.0
        self.held: list[tuple[int, float]] = []

    @property
    def baseline(self) -> float:
        """Share of failures while all is well, decayed (half-life 500 calls)."""
        return self.failed / self.seen

    @property
    def limit(self) -> float:
        """The failure probability that is still tolerated."""
        wanted = _LIMIT_BASE + _LIMIT_SLOPE * self.baseline
        return min(_LIMIT_MOST, max(_LIMIT_LEAST, wanted))

    def update(self, ok: int, weight: float, cap: float) -> None:
        """Take in one call: 1 success, 0 failure, with the weight of a correlated call."""
        limit = self.limit
        if abs(limit - self._bets_limit) > _LIMIT_STEP:
            self._bets_limit, self._bets = limit, bets(limit)
        parts = self.parts
        for i, pair in enumerate(self._bets):
            parts[i] = min(cap, pair[ok] ** weight * (parts[i] + 1.0))
        self.value = sum(parts) / len(parts)
        self.all_failed = _KEEP * self.all_failed + (1 - ok)
        self.all_seen = _KEEP * self.all_seen + 1
        if self.all_seen < _YOUNG:
            self.held.append((ok, weight))
            taught = [self.held.pop(0)] if len(self.held) > _HELD else []
        else:
            taught, self.held = [*self.held, (ok, weight)], []
        for late, share in taught if self.value < FREEZE_AT else []:
            self.failed = _KEEP * self.failed + (1 - late) * share
            self.seen = _KEEP * self.seen + share

    def convicts_alone(self, run: int, open_at: float) -> bool:
        """Do `run` failures in a row of one session suffice, without a second session?"""
        usual = max(0.0, self.all_failed - run) / self.all_seen + _LONE_MARGIN
        return lone_evidence(run, usual) >= _LONE_SAFETY * open_at

    def forget(self) -> None:
        """Start from no evidence; the baselines stay."""
        self.parts, self.value, self.held = [0.0] * len(SHIFTS), 0.0, []

    def meet(self, value: float, limit: float | None) -> None:
        """Take over what another counter published: its evidence if larger, its baseline if ours is new.

        Both may have seen the same calls, so the larger one counts, never the sum.
        """
        self.parts = [max(part, value) for part in self.parts]
        self.value = sum(self.parts) / len(self.parts)
        if limit is not None and self.all_seen == _PRIOR_SEEN:
            self.expect((limit - _LIMIT_BASE) / _LIMIT_SLOPE)

    def expect(self, failing: float) -> None:
        """Take `failing` as the usual share of failures, worth 6 calls."""
        usual = min(1.0, max(0.0, failing))
        self.failed = self.all_failed = usual * _TOLD_SEEN
        self.seen = self.all_seen = _TOLD_SEEN

    def to_dict(self) -> dict[str, Any]:
        """All of it, JSON-able."""
        return {
            "parts": list(self.parts),
            "baseline": [self.failed, self.seen, self.all_failed, self.all_seen],
            "bets_limit": self._bets_limit,
            "held": [list(pair) for pair in self.held],
        }

    @classmethod
    def from_dict(cls, value: object) -> Evidence:
        """The inverse of `to_dict`; what is not a sane number keeps its first value."""
        self = cls()
        found = value if isinstance(value, dict) else {}
        parts = found.get("parts")
        if isinstance(parts, list) and len(parts) == len(SHIFTS):
            self.parts = [number(part, 0.0, LARGEST, 0.0) for part in parts]
            self.value = sum(self.parts) / len(self.parts)
        counts = found.get("baseline")
        if isinstance(counts, list) and len(counts) == 4:  # noqa: PLR2004 - two pairs
            seen, every = (
                number(counts[1], 1e-9, LARGEST, 0.0),
                number(counts[3], 1e-9, LARGEST, 0.0),
            )
            if seen and every:
                self.seen, self.all_seen = seen, every
                self.failed = number(counts[0], 0.0, seen, _PRIOR_FAILED / _PRIOR_SEEN * seen)
                self.all_failed = number(counts[2], 0.0, every, _PRIOR_FAILED / _PRIOR_SEEN * every)
        self._bets_limit = number(found.get("bets_limit"), _LIMIT_LEAST, _LIMIT_MOST, self.limit)
        self._bets = bets(self._bets_limit)
        held = found.get("held")
        for pair in held[-_HELD:] if isinstance(held, list) else []:
            sane = [finite(cell, 0.0, 1.0) for cell in pair] if isinstance(pair, list) else []
            if len(sane) == 2 and sane[0] is not None and sane[1] is not None:  # noqa: PLR2004
                self.held.append((int(sane[0]), sane[1]))
        return self


class UsedSessions:
    """The last sessions that used a tool: how many calls each made, and its present run."""

    __slots__ = ("known", "lone")

    def __init__(self) -> None:
        self.known: dict[int, tuple[int, float, int]] = {}  # calls, last at, run (<0: of good)
        self.lone = 0  # calls that named no session: each a cluster of its own

    def visit(self, now: float, ok: int, session: object) -> tuple[float, int, int]:
        """The weight of this call, its session's failures in a row with it, the session's key."""
        if not isinstance(session, str):
            self.lone += 1
            return 1.0, 1 - ok, -self.lone
        key = zlib.crc32(session.encode("utf-8", "replace"))
        calls, last, run = self.known.pop(key, (0, now, 0))
        if now - last > _SESSION_MEMORY_S:
            calls = run = 0
        elif run <= -FRESH_AFTER and not ok:
            calls = 0
        elif run <= -_LONG_RUN:
            calls = min(calls, _SETTLED)
        run = min(0, run) - 1 if ok else max(0, run) + 1
        self.known[key] = (calls + 1, now, run)
        if len(self.known) > _SESSIONS_KEPT:
            del self.known[next(iter(self.known))]
        return 1.0 / (1.0 + CORRELATION * calls), max(0, run), key

    def to_list(self) -> list[list[float]]:
        """All of it, oldest first, JSON-able; the first row is the count of the nameless."""
        return [[self.lone], *([key, *row] for key, row in self.known.items())]

    @classmethod
    def from_list(cls, value: object) -> UsedSessions:
        """The inverse of `to_list`; rows that make no sense are left out."""
        self = cls()
        for row in value if isinstance(value, list) else []:
            cells = row if isinstance(row, list) else []
            sane = [finite(cell, -LARGEST, LARGEST) for cell in cells]
            if len(sane) == 1 and sane[0] is not None:
                self.lone = int(sane[0])
            elif len(sane) == 4 and None not in sane:  # noqa: PLR2004 - key, calls, at, run
                key, calls, run = (int(cells[i]) for i in (0, 1, 3))
                self.known[key] = (max(0, calls), float(cells[2]), run)
        return self
