"""PURE: one circuit breaker, closed → open → half-open, moved by evidence, not by a count in a row.

Time is an argument and every time kept is absolute, so a breaker means the same after a
restart. Nothing here raises, whatever it is fed: a breaker that breaks must not stop an agent.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .breaker_evidence import CAP, DOWN, LARGEST, Evidence, UsedSessions, finite, number

CLOSED, OPEN, HALF_OPEN = "closed", "open", "half_open"
RATED = {"ok": 1, "error": 0, "timeout": 0}
"""The outcomes that say something about a tool; all others are no evidence."""

_CLOSE_AT, _REOPEN_AT = -math.log(10.0), math.log(2.0)
_JITTER = 0.1
_FAILURES_KEPT, _RECENT = 12, 20


@dataclass(frozen=True, slots=True)
class BreakerRule:
    """How breakers of this fleet behave; published as `breaker_rule`.

    Attributes:
        open_at: Evidence that opens, at least 10: about one false opening per so many calls of
            a tool that fails exactly as often as its limit allows, far fewer of a healthy one.
        wait_s: Seconds from opening to the first probe; doubles with each failed probe.
        wait_max_s: Most that the wait grows to.
        probe_every_s: Seconds between two probes while half-open.
        mode: `enforce`, or `observe`: states move, nothing is blocked.
    """

    open_at: float = 300.0
    wait_s: float = 30.0
    wait_max_s: float = 240.0
    probe_every_s: float = 5.0
    mode: str = "enforce"

    @classmethod
    def from_dict(cls, value: object, *, mode: str = "enforce") -> BreakerRule:
        """Read a published rule; whatever is not a sane number keeps its default."""
        found = value if isinstance(value, dict) else {}
        usual = cls()
        wait = number(found.get("wait_s"), 1.0, 3600.0, usual.wait_s)
        longest = number(found.get("wait_max_s"), 1.0, 86_400.0, usual.wait_max_s)
        return cls(
            open_at=number(found.get("open_at"), 10.0, 1e9, usual.open_at),
            wait_s=wait,
            wait_max_s=max(wait, longest),
            probe_every_s=number(found.get("probe_every_s"), 0.1, 3600.0, usual.probe_every_s),
            mode="observe" if mode == "observe" else "enforce",
        )

    def to_dict(self) -> dict[str, float]:
        """The four published keys."""
        return {
            "open_at": self.open_at,
            "wait_s": self.wait_s,
            "wait_max_s": self.wait_max_s,
            "probe_every_s": self.probe_every_s,
        }


DEFAULT_RULE = BreakerRule()


@dataclass(frozen=True, slots=True)
class Verdict:
    """May this call run?

    Attributes:
        allowed: False: do not run it.
        reason: Why, in our own words, with numbers only; empty while closed.
        probe: True: this call is the probe of a half-open breaker; its outcome decides.
        since: When the breaker opened, Unix seconds; None while closed.
        retry_at: When the next probe may go, Unix seconds; None if nobody knows.
    """

    allowed: bool
    reason: str = ""
    probe: bool = False
    since: float | None = None
    retry_at: float | None = None


ALLOWED = Verdict(allowed=True)


class Breaker:
    """The breaker of one (house, tool) or of one model.

    It opens when the evidence that the failure probability lies above its limit reaches
    `open_at` and the last failures come from at least two sessions; with `opens_alone` (a house
    sees one session) also on a run of failures in one session that bad input does not explain.
    The limit follows the tool's own baseline: `clamp(.25 + 1.5 * baseline, .2, .8)`.
    """

    __slots__ = (
        "bound", "evidence", "failing", "forced", "last_at", "opened", "opens_alone", "probe_at",
        "recent", "rule", "seed", "sessions", "since", "spread", "state", "sum", "wait_s",
    )  # fmt: skip

    def __init__(
        self, rule: BreakerRule = DEFAULT_RULE, *, seed: str = "", opens_alone: bool = True
    ) -> None:
        self.rule = rule
        self.seed = seed
        self.opens_alone = opens_alone
        self.state = CLOSED
        self.forced = False  # by the operator, until cleared
        self.bound = False  # opened by the published policy, until published closed
        self.evidence = Evidence()
        self.sessions = UsedSessions()
        self.failing: list[int] = []  # the sessions of the last failures
        self.recent: list[int] = []  # 1 success, 0 failure
        self.opened = 0
        self.last_at: float | None = None
        self.since: float | None = None
        self.probe_at: float | None = None
        self.spread = 0.0  # of this owner's probe after a published time, 0 to 1 of `probe_every_s`
        self.wait_s = rule.wait_s
        self.sum = 0.0

    @property
    def reason(self) -> str:
        """Why it is as it is: numbers only."""
        if self.forced:
            return "forced open by the operator"
        if not self.recent:
            return "opened by the published policy" if self.bound else "no calls yet"
        return f"{sum(self.recent)} of the last {len(self.recent)} calls succeeded"

    def allows(self, now: float, claim: Callable[[], bool] | None = None) -> Verdict:
        """May a call run at `now`? In half-open the answer takes the probe, so ask once a call.

        `claim` is asked before a probe of a breaker that the policy opened, since the other processes
        of the house wait for the same moment; None: each spreads its own by its seed.
        """
        if self.state == CLOSED or finite(now, -LARGEST, LARGEST) is None:
            return ALLOWED
        self.advance(now)
        observe = self.rule.mode == "observe"
        every = self.rule.probe_every_s
        due = (self.probe_at or now) + (self.spread * every if claim is None else 0.0)
        probe = self.state == HALF_OPEN and now >= due
        if probe:
            self.spread = 0.0
            self.probe_at = now + (every * self._jittered(now) if self.bound else every)
            if self.bound and claim is not None and not observe:
                probe = claim()
        return Verdict(
            allowed=probe or observe,
            reason=self.reason,
            probe=probe and not observe,
            since=self.since,
            retry_at=self.probe_at,
        )

    def record(
        self,
        now: float,
        outcome: str,
        session: str | None = None,
        *,
        room: Callable[[], bool] = lambda: True,
    ) -> None:
        """Learn from one finished call.

        Args:
            now: When it finished, Unix seconds.
            outcome: One of the seven; only `ok`, `error` and `timeout` are evidence.
            session: Whose call it was; None: a cluster of its own.
            room: Asked before opening; False keeps it closed, with its evidence.
        """
        ok = RATED.get(str(outcome))
        if ok is None or finite(now, -LARGEST, LARGEST) is None:
            return
        self.last_at = now
        self.advance(now)
        if self.state == HALF_OPEN:
            self._judge(now, ok)
        elif self.state == CLOSED:
            self._count(now, ok, session, room)

    def force(self, now: float) -> None:
        """The operator opens it; no probes until `clear`."""
        self.state, self.forced, self.since, self.probe_at = OPEN, True, now, None

    def clear(self, now: float) -> None:
        """Close it and start from no evidence; the baseline stays."""
        self.state, self.forced, self.bound = CLOSED, False, False
        self.since, self.probe_at, self.wait_s, self.sum = now, None, self.rule.wait_s, 0.0
        self.evidence.forget()
        self.sessions = UsedSessions()
        self.failing, self.recent = [], []

    def advance(self, now: float) -> None:
        """Let the time pass: open turns half-open; a clock that was set back cannot hold it."""
        if self.state == CLOSED or self.forced:
            return
        most = self.rule.wait_max_s * (1.0 + _JITTER)
        if self.probe_at is None or self.probe_at - now > most:
            self.probe_at = now + most
        if self.state == OPEN and now >= self.probe_at:
            self.state, self.sum = HALF_OPEN, 0.0

    def _judge(self, now: float, ok: int) -> None:
        """A sequential probability ratio test on the probes: down, or back at the baseline?"""
        back = min(0.6, max(0.02, self.evidence.baseline))
        self.sum += math.log((1.0 - DOWN) / (1.0 - back)) if ok else math.log(DOWN / back)
        if self.sum <= _CLOSE_AT and not self.bound:
            self.clear(now)
        elif self.sum >= _REOPEN_AT:
            self.wait_s = min(self.rule.wait_max_s, 2.0 * self.wait_s)
            self._open(now)

    def draw(self, salt: object) -> float:
        """A number from 0 to 1 that is this owner's own."""
        return zlib.crc32(f"{self.seed}/{salt}".encode("utf-8", "replace")) / 0xFFFFFFFF

    def _jittered(self, salt: object) -> float:
        return 1.0 + _JITTER * (2.0 * self.draw(salt) - 1.0)

    def _open(self, now: float) -> None:
        self.opened += 1
        if self.state == CLOSED:
            self.since = now
        self.state = OPEN
        self.probe_at = now + self.wait_s * self._jittered(self.opened)

    def _count(self, now: float, ok: int, session: object, room: Callable[[], bool]) -> None:
        weight, run, key = self.sessions.visit(now, ok, session)
        evidence, open_at = self.evidence, self.rule.open_at
        evidence.update(ok, weight, CAP * open_at)
        self.recent = [*self.recent[1 - _RECENT :], ok]
        if ok:
            return
        self.failing = [*self.failing[1 - _FAILURES_KEPT :], key]
        shared = evidence.value >= open_at and len(set(self.failing)) > 1
        alone = self.opens_alone and evidence.convicts_alone(run, open_at)
        if (shared or alone) and room():
            self._open(now)

    def to_dict(self) -> dict[str, Any]:
        """All that a restart needs, JSON-able; rule, seed and `opens_alone` are the owner's."""
        return {
            "state": self.state,
            "forced": self.forced,
            "bound": self.bound,
            "evidence": self.evidence.to_dict(),
            "sessions": self.sessions.to_list(),
            "failing": list(self.failing),
            "recent": list(self.recent),
            "opened": self.opened,
            "times": [self.last_at, self.since, self.probe_at],
            "wait_s": self.wait_s,
            "sum": self.sum,
        }

    @classmethod
    def from_dict(
        cls,
        value: object,
        rule: BreakerRule = DEFAULT_RULE,
        *,
        seed: str = "",
        opens_alone: bool = True,
    ) -> Breaker:
        """The inverse of `to_dict`; what makes no sense is as if it were not there."""
        self = cls(rule, seed=seed, opens_alone=opens_alone)
        found = value if isinstance(value, dict) else {}
        state = found.get("state")
        self.state = state if isinstance(state, str) and state in (OPEN, HALF_OPEN) else CLOSED
        self.forced = found.get("forced") is True and self.state == OPEN
        self.bound = found.get("bound") is True and self.state != CLOSED
        self.evidence = Evidence.from_dict(found.get("evidence"))
        self.sessions = UsedSessions.from_list(found.get("sessions"))
        self.failing = _integers(found.get("failing"))[-_FAILURES_KEPT:]
        self.recent = [int(bit > 0) for bit in _integers(found.get("recent"))[-_RECENT:]]
        self.opened = int(number(found.get("opened"), 0, LARGEST, 0))
        times = found.get("times")
        if isinstance(times, list) and len(times) == 3:  # noqa: PLR2004 - last, since, probe
            self.last_at, self.since, self.probe_at = (finite(t, -LARGEST, LARGEST) for t in times)
        self.wait_s = number(found.get("wait_s"), rule.wait_s, rule.wait_max_s, rule.wait_s)
        self.sum = number(found.get("sum"), -100.0, 100.0, 0.0)
        return self


def _integers(value: object) -> list[int]:
    return (
        [int(v) for v in value if finite(v, -LARGEST, LARGEST) is not None]
        if isinstance(value, list)
        else []
    )
