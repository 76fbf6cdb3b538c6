"""Kit: one Hermes home's recorder and obedience, and what is known of its sessions and turns."""

import os
import random
import threading
import time
from collections.abc import Callable, Container, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from . import KIT_VERSION
from .obey import Decision, Obedience
from .outcome import judge
from .reader import Policies
from .recorder import Recorder
from .settings import KitSettings
from .shape import signature

SIMPLE, SOVEREIGN = "simple", "sovereign"
_MOST_KEPT = 512
_NOT_RUN = frozenset({"blocked", "cancelled", "rejected"})


class SessionState:
    """What the hooks have told of a session so far.

    Attributes:
        turn: The id of its turn; made here for a Hermes that names none.
        model: What the agent says it talks to.
        chosen: What the kit would put in its place in this turn, by task type; empty for nothing.
        drawn: What the kit did put in its place for the request that is under way.
        task: The task type of its last call.
        advised: The advice it was given last.
    """

    __slots__ = ("advised", "chosen", "drawn", "model", "task", "turn")

    def __init__(self) -> None:
        self.turn = ""
        self.model: str | None = None
        self.chosen: dict[str, str] = {}
        self.drawn: str | None = None
        self.task = ""
        self.advised: tuple[str, ...] = ()


class Caller(NamedTuple):
    """Whose call it is: the session, its turn, and whether the call is in no transcript."""

    session: str
    turn: str
    inner: bool


def _keep(table: dict[Any, Any]) -> None:
    """Forget the oldest entries of a table that has grown too long."""
    while len(table) > _MOST_KEPT:
        table.pop(next(iter(table)), None)


class Kit:
    """All of timmy in one Hermes home. Its callers catch what it raises (`hermes._guarded`).

    Args:
        home: The Hermes home; telemetry goes to `<home>/sessions/timmy`.
        settings: How it is set.
        hermes: Version of Hermes, as far as known.
        policies: Where the policy comes from; None finds it.
        clock: Unix seconds.
        tools: The tools that the agent has, if that is known.
        draw: A number in [0, 1), for the published shares of exploration.
    """

    def __init__(
        self,
        home: Path,
        settings: KitSettings,
        *,
        hermes: str | None = None,
        policies: Policies | None = None,
        clock: Callable[[], float] = time.time,
        tools: Callable[[], Container[str] | None] = lambda: None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.settings = settings
        self.obeys = settings.mode != SIMPLE
        self.policies = policies or Policies(own_only=settings.mode == SOVEREIGN)
        self.recorder = Recorder(
            home / "sessions" / "timmy",
            house=settings.house,
            kit=KIT_VERSION,
            hermes=hermes,
            keep_s=settings.keep_s,
            clock=clock,
        )
        self.obedience = Obedience(self.policies, settings.house, clock=clock, tools=tools)
        self.sessions: dict[str, SessionState] = {}
        self._callers: dict[str, Caller] = {}
        self._reviews: dict[str, str] = {}
        self._pending: dict[tuple[str, str, str, str], list[Decision]] = {}
        self._running: list[str] = []
        self._lock = threading.Lock()
        self._turns = 0
        self._draw = draw

    def session(self, session_id: str) -> SessionState:
        """What is known of a session; new if nothing is."""
        state = self.sessions.get(session_id)
        if state is None:
            state = self.sessions[session_id] = SessionState()
            _keep(self.sessions)
        return state

    def begin_turn(
        self, session_id: str, turn: str, task_id: str, *, model: str | None, review: bool
    ) -> SessionState:
        """A turn begins. The turn of a background review keeps apart from the session's own."""
        with self._lock:
            self._turns += 1
            turn = turn or f"{os.getpid():x}-{self._turns}"
            state = self.session(session_id)
            if review:
                self._reviews[turn] = self._reviews[task_id or turn] = session_id
                _keep(self._reviews)
            else:
                state.turn, state.chosen, state.drawn = turn, {}, None
                state.model = model or state.model
            if task_id:
                self._callers[task_id] = Caller(session_id, turn, review)
                _keep(self._callers)
            return state

    def caller(self, session_id: str, turn: str, task_id: str, *, review: bool) -> Caller | None:
        """Whose call it is; None if nobody knows, and it is not recorded.

        A call from inside a script names no session: its task tells, else the script that runs.
        """
        with self._lock:
            if session_id:
                inner = review or turn in self._reviews or task_id in self._reviews
                found = Caller(session_id, turn or self.session(session_id).turn, inner)
                if task_id:
                    self._callers[task_id] = found
                    _keep(self._callers)
                return found
            known = self._callers.get(task_id)
            if known is None and self._running:
                known = self._callers.get(self._running[-1])
            return None if known is None else Caller(known.session, known.turn, inner=True)

    def before(
        self, caller: Caller, tool: str, args: Any, call_id: str, task_id: str
    ) -> str | None:
        """A call is about to run: None lets it, a sentence stops it.

        A stopped call is recorded here, because not every Hermes reports it afterwards.
        """
        if tool == "execute_code" and task_id:
            with self._lock:
                self._running.append(task_id)
        if not self.obeys:
            return None
        decision = self.obedience.before(
            tool, args, session=caller.session, turn=caller.turn, inner=caller.inner
        )
        if not caller.inner:
            self.session(caller.session).task = decision.task
        key = (caller.session, caller.turn, call_id, tool)
        with self._lock:
            self._pending.setdefault(key, []).append(decision)
            _keep(self._pending)
        if decision.allowed:
            return None
        self._record(
            caller, tool, args, call_id,
            outcome="blocked", rule=decision.rule, error_type=None, latency_ms=None, decision=decision,
        )  # fmt: skip
        return decision.message

    def after(
        self,
        caller: Caller,
        tool: str,
        args: Any,
        call_id: str,
        task_id: str,
        *,
        result: Any,
        status: str | None,
        latency_ms: float | None,
    ) -> None:
        """A call is over, or was refused: judge, count and record it, once."""
        key = (caller.session, caller.turn, call_id, tool)
        with self._lock:
            if tool == "execute_code" and task_id in self._running:
                self._running.remove(task_id)
            waiting = self._pending.get(key)
            decision = waiting.pop(0) if waiting else None
            if not waiting:
                self._pending.pop(key, None)
        if decision is not None and not decision.allowed:
            return
        judged = judge(tool, result, status=status)
        ran = judged.outcome not in _NOT_RUN
        self._record(
            caller, tool, args, call_id,
            outcome=judged.outcome, rule=judged.rule, error_type=judged.error_type,
            latency_ms=latency_ms if ran else None, decision=decision,
        )  # fmt: skip

    def _record(
        self,
        caller: Caller,
        tool: str,
        args: Any,
        call_id: str,
        *,
        outcome: str,
        rule: str,
        error_type: str | None,
        latency_ms: float | None,
        decision: Decision | None,
    ) -> None:
        short, task = (
            (decision.shape, decision.task) if decision else self.obedience.describe(tool, args)
        )
        state = self.session(caller.session)
        model = state.drawn or state.model
        policy = self.policies.document if self.obeys else None
        self.recorder.tool(
            caller.session,
            tool=tool,
            call_id=call_id,
            turn=caller.turn,
            inner=caller.inner,
            model=model,
            signature=signature(args),
            shape=short,
            outcome=outcome,
            rule=rule,
            error_type=error_type,
            latency_ms=latency_ms,
            policy=None if policy is None else policy.revision,
            followed=(
                self.obedience.followed(tool, task, model, drawn=state.drawn is not None)
                if self.obeys
                else None
            ),
        )
        if self.obeys:
            self.obedience.after(tool, outcome, task=task, session=caller.session, turn=caller.turn)

    def advice(self, session_id: str) -> str | None:
        """What to tell the model at the start of a turn: only what it was not told last time."""
        if not self.obeys:
            return None
        state = self.session(session_id)
        lines = self.obedience.advice()
        if lines == state.advised:
            return None
        state.advised = lines
        return "\n".join(lines) or None

    def choose_model(
        self, session_id: str, request: Mapping[str, Any], *, local: bool
    ) -> str | None:
        """The published model for the work at hand, drawn once a turn and task type; None: leave it."""
        if not self.obeys or (self.settings.mode == SOVEREIGN and not local):
            return None
        state = self.session(session_id)
        if state.task not in state.chosen:
            state.chosen[state.task] = self.obedience.draw_model(state.task, self._draw()) or ""
        model = state.chosen[state.task]
        state.drawn = model or None
        return model if model and model != request.get("model") else None

    def count_model(self, session_id: str, model: str | None, outcome: str) -> None:
        """A call of a model is over: count it towards the breaker of the model."""
        if self.obeys and model is not None:
            house = self.settings.house
            self.policies.record(None, outcome, house=house, session=session_id, model=model)
