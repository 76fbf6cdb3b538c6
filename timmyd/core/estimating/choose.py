"""PURE: which of several options to prefer: the best model of a task type, the best house of a tool.

A leader is published with nearly all of the weight, the others share a small exploration. The
leader changes only when another option is better with 90 % probability, so that equal options do
not flip; old executions fade, the faster the more the world seems to change, so that a fallen
leader is left and a risen option is found. Closed form, no random draws: the same executions give
the same weights, however often one asks.
"""

import math
import zlib
from collections.abc import Collection, Iterable

import msgspec

from timmyd.core.estimating.arms import MEMORIES, Arm, Estimate, blend
from timmyd.core.estimating.arms_contest import Choice, Standing, best_of, challenger, shares

__all__ = ["EXPLORATION", "MINIMUM", "Choice", "Leader", "Standing"]

EXPLORATION, MINIMUM = 0.02, 20

_TASK_KEEP = 0.9998
_BLOCK = 100
_FEW_FOLLOW, _FLOW_KEEP = 0.5, 0.998
_WARY_BLOCKS = 8
"""Where few follow, only they count for so long: the check on the others needs time."""
_COST_WORTH, _LATENCY_WORTH = 0.05, 0.02
_CORRELATION, _SESSIONS_KEPT = 0.1, 256
_Z_95 = 1.96
_VERSION = 2


class _State(msgspec.Struct, frozen=True):
    version: int
    leader: str
    arms: dict[str, Arm]
    task: tuple[float, float]
    task_followed: tuple[float, float]
    flow: tuple[float, float]
    clocks: tuple[float, float]
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
    ) -> None:
        """Start with the options known by name; others join when they are seen.

        Args:
            arms: Their names.
            default: The leader until something better is known; else the first by name.
            exploration: Share of traffic for the others, 0 (forbidden) to 0.5.
            minimum: Decayed executions of all options before a choice is published.
        """
        names = sorted({*arms, *([] if default is None else [default])})
        self._arms = {name: Arm() for name in names}
        self._leader = default if default is not None else names[0] if names else ""
        self._explore = min(0.5, max(0.0, exploration))
        self._minimum = max(1, minimum)
        self._task = self._task_followed = (1.0, 2.0)  # successes and executions, long memory
        self._flow = (0.0, 0.0)  # executions that followed, and all of them, lately
        self._clocks = (0.0, 0.0)  # executions of all time, and those that followed
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
        mine = self._arms.get(arm)
        if mine is None:
            mine = self._arms[arm] = Arm()
            self._leader = self._leader or arm
        lasting = weight if followed else 0.0
        self._clocks = (self._clocks[0] + weight, self._clocks[1] + lasting)
        self._flow = _added(self._flow, lasting, weight, _FLOW_KEEP)
        mine.all.learn(weight, ok=ok, usual=_rate(self._task), clock=self._clocks[0])
        self._task = _added(self._task, weight if ok else 0.0, weight, _TASK_KEEP)
        if followed:
            usual = _rate(self._task_followed)
            mine.followed.learn(weight, ok=ok, usual=usual, clock=self._clocks[1])
            good = weight if ok else 0.0
            self._task_followed = _added(self._task_followed, good, weight, _TASK_KEEP)
        mine.note(weight, ok=ok, followed=followed)
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

    def settle(self, available: Collection[str] | None = None) -> None:
        """Move the leader if the evidence is there; call it once all that came together is learned.

        Args:
            available: The options that may lead; None for all.
        """
        names = self._names(available)
        if names:
            self._leader = self._led(names)[0]

    def decide(self, available: Collection[str] | None = None) -> Choice | None:
        """Say what to publish; asking changes nothing.

        Args:
            available: The options that may be used now (no open breaker, still installed).
                If none of the known ones is, all are: the last option is never taken away.

        Returns:
            The choice; None before any option is known.
        """
        names = self._names(available)
        if not names:
            return None
        leader, posterior = self._led(names)
        followed = self._followed_only()
        success, low, samples = self.standing(leader, followed=followed)
        total = sum(standing.seen for standing in posterior.values())
        return Choice(
            leader=leader,
            weights=shares(leader, posterior, self._explore),
            success=success,
            low=low,
            samples=int(samples),
            total=int(total),
            evaluated=total >= self._minimum,
            confounded=any(arm.differs for arm in self._arms.values()),
        )

    def standing(self, arm: str, *, followed: bool = False) -> Standing:
        """One option's success rate shrunk to the usual one, without cost and latency."""
        found = self._estimate(arm, followed=followed)
        low = max(0.0, found.mean - _Z_95 * math.sqrt(found.variance))
        return Standing(found.mean, low, found.seen)

    def retire(self, arm: str) -> bool:
        """Forget an option that is gone for good; False for the last one, which stays."""
        if arm not in self._arms or len(self._arms) == 1:
            return False
        del self._arms[arm]
        if self._leader == arm:
            names = sorted(self._arms)
            self._leader = best_of(names, {n: self._posterior(n, names) for n in names})
        return True

    def dump(self) -> bytes:
        """The whole state; `load` of it goes on bit for bit."""
        rows = list(self._sessions.items())
        return msgspec.msgpack.encode(
            _State(
                _VERSION,
                self._leader,
                self._arms,
                self._task,
                self._task_followed,
                self._flow,
                self._clocks,
                rows,
                self._in_block,
                self._blocks,
            )
        )

    @classmethod
    def load(
        cls,
        data: bytes,
        *,
        exploration: float = EXPLORATION,
        minimum: int = MINIMUM,
    ) -> "Leader":
        """The inverse of `dump`; the settings are the caller's.

        Raises:
            msgspec.MsgspecError: The bytes are no such state; start afresh.
        """
        state = msgspec.msgpack.decode(data, type=_State)
        whole = all(
            len(row) == len(MEMORIES)
            for arm in state.arms.values()
            for held in (arm.all, arm.followed)
            for row in (held.good, held.seen, held.belief)
        )
        if (
            state.version != _VERSION
            or not whole
            or (state.arms and state.leader not in state.arms)
        ):
            raise msgspec.ValidationError
        self = cls(exploration=exploration, minimum=minimum)
        self._arms, self._leader, self._task = state.arms, state.leader, state.task
        self._task_followed, self._flow, self._clocks = (
            state.task_followed, state.flow, state.clocks,
        )  # fmt: skip
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

    def _names(self, available: Collection[str] | None) -> list[str]:
        return [n for n in self._arms if available is None or n in available] or list(self._arms)

    def _few_follow(self) -> bool:
        return self._flow[0] < _FEW_FOLLOW * self._flow[1]

    def _followed_only(self) -> bool:
        """Do only executions that followed count? Not where exploring is forbidden: none would come."""
        if self._explore <= 0 or self._flow[0] <= 0:
            return False
        wary = self._blocks < _WARY_BLOCKS and self._few_follow()
        return wary or any(arm.differs for arm in self._arms.values())

    def _led(self, names: Collection[str]) -> tuple[str, dict[str, Estimate]]:
        """Who leads among these by the present evidence, and how each of them stands."""
        followed = self._followed_only()
        posterior = {name: self._posterior(name, names, followed=followed) for name in names}
        leader = self._leader if self._leader in posterior else best_of(names, posterior)
        scarce = followed and self._few_follow()
        exploring = self._explore > 0
        return challenger(leader, posterior, exploring=exploring, scarce=scarce), posterior

    def _estimate(self, arm: str, *, followed: bool) -> Estimate:
        """Posterior of one option's success rate, and its executions."""
        if followed:
            usual = _rate(self._task_followed)
            return self._arms[arm].followed.estimate(usual, self._clocks[1])
        return self._arms[arm].all.estimate(_rate(self._task), self._clocks[0])

    def _posterior(self, arm: str, names: Collection[str], *, followed: bool = False) -> Estimate:
        """The same with cost and latency taken off: they decide between near equals."""
        found, mine = self._estimate(arm, followed=followed), self._arms[arm]
        mean = found.mean
        if mine.cost:
            mean -= _COST_WORTH * mine.cost / max(self._arms[n].cost or 0.0 for n in names)
        if mine.latency_ms:
            slowest = max(self._arms[n].latency_ms or 0.0 for n in names)
            mean -= _LATENCY_WORTH * mine.latency_ms / slowest
        return Estimate(mean, found.variance, found.seen)


def _rate(counts: tuple[float, float]) -> float:
    return counts[0] / counts[1]


def _added(
    counts: tuple[float, float], part: float, whole: float, keep: float
) -> tuple[float, float]:
    """A part and its whole, decayed by the whole's weight, with an execution added."""
    fade = keep**whole
    return fade * counts[0] + part, fade * counts[1] + whole
