"""PURE: which of several options to prefer: the best model of a task type, the best house of a tool.

A leader is published with nearly all of the weight, the others share a small exploration. The
leader changes only when another option is better with 92 % probability, so that equal options do
not flip; old executions fade, so that a fallen leader is left and a risen option is found.
Closed form, no random draws: the same executions give the same weights.
"""

import math
import zlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from timmyd.core.arms import Arm, beats, blend

EXPLORATION, MINIMUM = 0.02, 20
MEMORY = 500.0
"""Executions after which the weight of one has faded to 1/e."""

_DOUBT_SHARE, _SWITCH_AT, _DOUBT_AT = 0.30, 0.92, 0.5
_PRIOR, _LEAST, _LEAST_FOLLOWED, _TASK_KEEP = 6.0, 5.0, 20.0, 0.9998
_STALE, _STALE_SWITCH_AT = 20.0, 0.7
_BLOCK = 100
_WARY_BLOCKS = 8
"""So long only followers count, if there are any: the check on the others needs time."""
_COST_WORTH, _LATENCY_WORTH = 0.05, 0.02
_CORRELATION, _SESSIONS_KEPT = 0.3, 256
_Z_95 = 1.96


class Standing(NamedTuple):
    """One option in numbers: estimated success, its lower 95 % bound, executions that count."""

    success: float
    low: float
    samples: float


@dataclass(frozen=True, slots=True)
class Choice:
    """What to publish for one task type or tool.

    Attributes:
        leader: The preferred option.
        weights: Share of the traffic by option; they sum to 1, the leader's is the largest.
        success: The leader's estimated success rate.
        low: Lower end of its 95 % interval.
        samples: Decayed executions behind it, rounded down.
        evaluated: False: too few executions to say anything; do not publish.
        confounded: True: an option fares differently where it was chosen freely (hard cases to
            the strong model); then only executions that followed count, if any are explored.
    """

    leader: str
    weights: dict[str, float]
    success: float
    low: float
    samples: int
    evaluated: bool
    confounded: bool


class _State(msgspec.Struct, frozen=True):
    version: int
    leader: str
    arms: dict[str, Arm]
    task: tuple[float, float]
    sessions: list[tuple[int, int]]
    in_block: int
    blocks: int


class Leader:
    """Chooses among options by what came of them."""

    def __init__(
        self,
        arms: Iterable[str] = (),
        *,
        default: str | None = None,
        exploration: float = EXPLORATION,
        minimum: int = MINIMUM,
        memory: float = MEMORY,
    ) -> None:
        """Start with the options known by name; others join when they are seen.

        Args:
            arms: Their names.
            default: The leader until something better is known; else the first by name.
            exploration: Share of traffic for the others, 0 (forbidden) to 0.5.
            minimum: Decayed executions of the leader before a choice is published.
            memory: Executions after which one has faded to 1/e.
        """
        names = sorted({*arms, *([] if default is None else [default])})
        self._arms = {name: Arm() for name in names}
        self._leader = default if default is not None else names[0] if names else ""
        self._explore = min(0.5, max(0.0, exploration))
        self._minimum = max(1, minimum)
        self._keep = 1.0 - 1.0 / max(10.0, memory)
        self._task = (1.0, 2.0)  # successes and executions of all options, long memory
        self._sessions: dict[int, int] = {}
        self._in_block = self._blocks = 0

    @property
    def leader(self) -> str:
        """The preferred option; empty before any is known."""
        return self._leader

    def learn(
        self,
        arm: str,
        *,
        ok: bool,
        session: str | None = None,
        followed: bool = False,
        latency_ms: float | None = None,
        cost: float | None = None,
    ) -> None:
        """Take in one rated execution; calls after the first of a session weigh less.

        Args:
            arm: The option that was used.
            ok: Whether it succeeded.
            session: Whose execution; None: one of its own.
            followed: Whether the published choice made it.
            latency_ms: How long it took.
            cost: What it cost, in any one unit.
        """
        weight = self._weight(session)
        keep = self._keep**weight
        for other in self._arms.values():
            other.fade(keep, followed=followed)
        mine = self._arms.get(arm)
        if mine is None:
            mine = self._arms[arm] = Arm()
            self._leader = self._leader or arm
        good = weight if ok else 0.0
        mine.learn(good, weight, followed=followed)
        fade = _TASK_KEEP**weight
        self._task = (fade * self._task[0] + good, fade * self._task[1] + weight)
        mine.latency_ms = blend(mine.latency_ms, latency_ms)
        mine.cost = blend(mine.cost, cost)
        self._in_block += 1
        if self._in_block >= _BLOCK:
            self._in_block, self._blocks = 0, min(_WARY_BLOCKS, self._blocks + 1)
            for other in self._arms.values():
                other.close_block()

    def know(self, arms: Iterable[str]) -> None:
        """Let options join that were not used yet, so that they can be explored."""
        for arm in arms:
            if arm not in self._arms:
                self._arms[arm] = Arm()
                self._leader = self._leader or arm

    def decide(self, available: Collection[str] | None = None) -> Choice | None:
        """Move the leader if the evidence is there, and say what to publish.

        Args:
            available: The options that may be used now (no open breaker, still installed).
                If none of the known ones is, all are: the last option is never taken away.

        Returns:
            The choice; None before any option is known.
        """
        names = [n for n in self._arms if available is None or n in available] or list(self._arms)
        if not names:
            return None
        confounded = any(arm.differs for arm in self._arms.values())
        wary = self._blocks < _WARY_BLOCKS and any(a.seen_followed for a in self._arms.values())
        followed = (confounded or wary) and self._explore > 0
        posterior = {name: self._posterior(name, names, followed=followed) for name in names}
        leader = self._leader if self._leader in posterior else self._best(names, posterior)
        leader = self._challenge(leader, posterior, _LEAST_FOLLOWED if followed else _LEAST)
        if available is None or self._leader in names:
            self._leader = leader
        success, low, samples = self.standing(leader, followed=followed)
        return Choice(
            leader=leader,
            weights=self._weights(leader, posterior),
            success=success,
            low=low,
            samples=int(samples),
            evaluated=samples >= self._minimum,
            confounded=confounded,
        )

    def standing(self, arm: str, *, followed: bool = False) -> Standing:
        """One option's success rate shrunk to the task's, without cost and latency."""
        mean, variance, seen = self._estimate(arm, followed=followed)
        return Standing(mean, max(0.0, mean - _Z_95 * math.sqrt(variance)), seen)

    def retire(self, arm: str) -> bool:
        """Forget an option that is gone for good; False for the last one, which stays."""
        if arm not in self._arms or len(self._arms) == 1:
            return False
        del self._arms[arm]
        if self._leader == arm:
            names = sorted(self._arms)
            self._leader = self._best(names, {n: self._posterior(n, names) for n in names})
        return True

    def dump(self) -> bytes:
        """The whole state; `load` of it goes on bit for bit."""
        rows = list(self._sessions.items())
        return msgspec.msgpack.encode(
            _State(1, self._leader, self._arms, self._task, rows, self._in_block, self._blocks)
        )

    @classmethod
    def load(
        cls,
        data: bytes,
        *,
        exploration: float = EXPLORATION,
        minimum: int = MINIMUM,
        memory: float = MEMORY,
    ) -> "Leader":
        """The inverse of `dump`; the settings are the caller's.

        Raises:
            msgspec.MsgspecError: The bytes are no such state; start afresh.
        """
        state = msgspec.msgpack.decode(data, type=_State)
        if state.version != 1 or (state.arms and state.leader not in state.arms):
            raise msgspec.ValidationError
        self = cls(exploration=exploration, minimum=minimum, memory=memory)
        self._arms, self._leader, self._task = state.arms, state.leader, state.task
        self._sessions, self._in_block = dict(state.sessions), state.in_block
        self._blocks = min(_WARY_BLOCKS, max(0, state.blocks))
        return self

    # ------------------------------------------------------------------ inside

    def _weight(self, session: str | None) -> float:
        if session is None:
            return 1.0
        key = zlib.crc32(session.encode("utf-8", "replace"))
        calls = self._sessions.pop(key, 0)
        self._sessions[key] = calls + 1
        if len(self._sessions) > _SESSIONS_KEPT:
            del self._sessions[next(iter(self._sessions))]
        return 1.0 / (1.0 + _CORRELATION * calls)

    def _estimate(self, arm: str, *, followed: bool) -> tuple[float, float, float]:
        """Posterior mean and variance of one option's success rate, and its executions."""
        good, seen = self._arms[arm].counts(followed=followed)
        usual = self._task[0] / self._task[1]
        n = seen + _PRIOR
        mean = (good + _PRIOR * usual) / n
        return mean, mean * (1.0 - mean) / (n + 1.0), seen

    def _posterior(
        self, arm: str, names: Collection[str], *, followed: bool = False
    ) -> tuple[float, float, float]:
        """The same with cost and latency taken off: they decide between near equals."""
        mean, variance, seen = self._estimate(arm, followed=followed)
        mine = self._arms[arm]
        dearest = max(self._arms[name].cost or 0.0 for name in names)
        slowest = max(self._arms[name].latency_ms or 0.0 for name in names)
        mean -= _COST_WORTH * (mine.cost or 0.0) / (dearest or 1.0)
        mean -= _LATENCY_WORTH * (mine.latency_ms or 0.0) / (slowest or 1.0)
        return mean, variance, seen

    def _challenge(
        self, leader: str, posterior: dict[str, tuple[float, float, float]], least: float
    ) -> str:
        """The option that takes over, or the leader."""
        best, highest = leader, 0.0
        for name, standing in posterior.items():
            better = beats(standing, posterior[leader])
            if self._explore <= 0 and standing[2] < _STALE:
                ready = better >= _STALE_SWITCH_AT and posterior[leader][2] >= _STALE
            else:
                ready = better >= _SWITCH_AT and standing[2] >= least
            if name != leader and ready and better > highest:
                best, highest = name, better
        return best

    def _weights(
        self, leader: str, posterior: dict[str, tuple[float, float, float]]
    ) -> dict[str, float]:
        others = {n: beats(p, posterior[leader]) for n, p in posterior.items() if n != leader}
        if self._explore <= 0 or not others:
            return {leader: 1.0}
        share = self._explore
        if max(others.values()) >= _DOUBT_AT:
            share = max(share, _DOUBT_SHARE)
        total = sum(others.values()) + 1e-9
        weights = {n: share * 0.5 * (1.0 / len(others) + b / total) for n, b in others.items()}
        return {leader: 1.0 - sum(weights.values()), **weights}

    @staticmethod
    def _best(names: Collection[str], posterior: dict[str, tuple[float, float, float]]) -> str:
        return max(sorted(names), key=lambda name: posterior[name][0])
