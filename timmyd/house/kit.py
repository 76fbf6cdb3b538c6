"""Kit: one Hermes home's recorder and obedience, and what is known of its sessions and turns."""

import random
import time
from collections.abc import Callable, Container, Mapping
from pathlib import Path
from typing import Any

from . import KIT_VERSION
from .advising import MOST_LINES
from .asking import Asking
from .budget import Budget
from .calls import Caller, CallKey, Calls, CallUnderWay, judge_exception
from .judgement import Judged
from .keys import is_name
from .modes import Mode
from .obey import BREAKER_OPEN, HELD_BACK, Decision, Obedience
from .outcome import judge
from .probes import PROBES
from .providers import Providers
from .reader import Policies
from .recorder import Recorder
from .requests import RequestGate
from .sessions import Sessions
from .settings import KitSettings
from .shape import signature
from .untold import Untold

_NOT_RUN = frozenset({"blocked", "cancelled", "rejected"})
_SKILL_TOOL = "skill_view"
_REFUSED_IN_0_1 = frozenset({BREAKER_OPEN, HELD_BACK})


class Kit:
    """All of timmy in one Hermes home, whose sessions may all run in one process.

    Its callers catch what it raises (`hermes._guarded`).

    Args:
        home: The Hermes home; telemetry goes to `<home>/sessions/timmy`.
        settings: How it is set.
        hermes: Version of Hermes, as far as known.
        policies: Where the policy comes from; None finds it.
        clock: Unix seconds.
        tools: The tools that the agent has, if that is known.
        draw: A number in [0, 1), for the published shares of exploration.
        shared: What the user's homes share; None: this home shares nothing.
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
        shared: Path | None = None,
    ) -> None:
        self.settings = settings
        self.obeys = settings.mode != Mode.SIMPLE
        self.policies = policies or Policies(
            own_only=settings.mode == Mode.SOVEREIGN, house=settings.house
        )
        folder = home / "sessions" / "timmy"
        self.policies.claim_probes_in(folder / PROBES)
        self.recorder = Recorder(
            folder,
            house=settings.house,
            kit=KIT_VERSION,
            hermes=hermes,
            keep_s=settings.keep_s,
            clock=clock,
        )
        self.obedience = Obedience(self.policies, settings.house, clock=clock, tools=tools)
        self.sessions = Sessions()
        self.untold = Untold()
        self.requests = RequestGate(
            Budget(folder, clock=clock),
            Providers(shared or folder, str(home), clock=clock),
            self.obedience.repeats.end_of_turn,
            settings.house,
            clock=clock,
        )
        self.asking = Asking(
            settings, self.policies, self.recorder, self.obedience, self.sessions, self.requests,
            refuses=lambda: self._refuses_new_kinds, draw=draw,
        )  # fmt: skip
        self.unplaced = 0  # calls of which Hermes does not tell whose they are: not recorded
        self._calls = Calls()
        self._clock = clock

    def use_skill(self, session_id: str, skill: object) -> None:
        """A skill was loaded into a session."""
        if session_id and is_name(skill):
            self.sessions.state(session_id).skill = str(skill)

    def begin(self, key: CallKey, caller: Caller, args: Any) -> CallUnderWay:
        """A call is about to run, unless its `refusal` stops it.

        A refused call is recorded here, because not every Hermes reports it afterwards.
        """
        decision: Decision | None = None
        if self.obeys:
            self.obedience.limits_repeats = self._refuses_new_kinds
            decision = self._softened(
                caller,
                self.obedience.before(
                    key.tool, args, session=caller.session, turn=caller.turn, inner=caller.inner
                ),
            )
            if not caller.inner:
                self.sessions.state(caller.session).task = decision.task
        call = CallUnderWay(key, caller, args, decision)
        self._calls.begin(call)
        if decision is not None and not decision.allowed:
            self.obedience.refused(decision, session=caller.session, turn=caller.turn)
            self._record(
                caller, key, args,
                outcome="blocked", rule=decision.rule, error_type=None, latency_ms=None, decision=decision,
            )  # fmt: skip
        return call

    def end(
        self, call: CallUnderWay, *, result: Any = None, error: BaseException | None = None
    ) -> None:
        """A call came back, with a result or an exception: record it, unless its end was told already."""
        elapsed_ms = round((time.perf_counter() - call.began_s) * 1000.0, 3)
        if self._calls.end(call):
            judged = judge(call.key.tool, result) if error is None else judge_exception(error)
            answer = result if error is None else error
            self._judged(
                call.caller, call.key, call.args, judged, elapsed_ms, call.decision, answer
            )

    def told(
        self,
        key: CallKey,
        caller: Callable[[], Caller | None],
        args: Any,
        *,
        result: Any,
        status: str | None,
        latency_ms: float | None,
    ) -> None:
        """Hermes tells that a call is over, or was refused: record it, unless its end was told already."""
        call, is_news = self._calls.end_of(key)
        if not is_news:
            return
        whose = caller() if call is None else call.caller
        if whose is None:
            self.unplaced += 1
            return
        decision = None if call is None else call.decision
        judged = judge(key.tool, result, status=status)
        self._judged(whose, key, args, judged, latency_ms, decision, result)

    def _judged(
        self,
        caller: Caller,
        key: CallKey,
        args: Any,
        judged: Judged,
        latency_ms: float | None,
        decision: Decision | None,
        answer: Any,
    ) -> None:
        ran = judged.outcome not in _NOT_RUN
        if key.tool == _SKILL_TOOL and judged.outcome == "ok" and isinstance(args, Mapping):
            self.use_skill(caller.session, args.get("name"))  # all that 0.19 tells of skills
        self._record(
            caller, key, args,
            outcome=judged.outcome, rule=judged.rule, error_type=judged.error_type,
            latency_ms=latency_ms if ran else None, decision=decision, answer=answer,
        )  # fmt: skip

    def _softened(self, caller: Caller, decision: Decision) -> Decision:
        """A refusal that 0.1 did not know is advice for a while where 0.1 was in use before."""
        new = not decision.allowed and decision.rule not in _REFUSED_IN_0_1
        if not new or self._refuses_new_kinds:
            return decision
        self.sessions.state(caller.session).spared[self.obedience.as_advice(decision)] = None
        return decision._replace(allowed=True, message="", rule="", failures=0)

    def _record(
        self,
        caller: Caller,
        key: CallKey,
        args: Any,
        *,
        outcome: str,
        rule: str,
        error_type: str | None,
        latency_ms: float | None,
        decision: Decision | None,
        answer: Any = None,
    ) -> None:
        short, task = (
            (decision.shape, decision.task) if decision else self.obedience.describe(key.tool, args)
        )
        state = self.sessions.state(caller.session)
        model = state.drawn or state.model
        policy = self.policies.document if self.obeys else None
        self.recorder.tool(
            caller.session,
            tool=key.tool,
            call_id=key.call_id,
            turn=caller.turn,
            inner=caller.inner,
            model=model,
            signature=decision.key.signature if decision and decision.key else signature(args),
            shape=short,
            outcome=outcome,
            rule=rule,
            error_type=error_type,
            latency_ms=latency_ms,
            policy=None if policy is None else policy.revision,
            followed=(
                self.obedience.followed(key.tool, task, model, drawn=state.drawn is not None)
                if self.obeys
                else None
            ),
            skill=state.skill,
        )
        if self.obeys:
            self.obedience.after(
                key.tool, outcome, task=task, session=caller.session, turn=caller.turn,
                key=decision and decision.key, answer=answer,
            )  # fmt: skip

    @property
    def _refuses_new_kinds(self) -> bool:
        until = self.settings.grace_until
        return self.obeys and (until is None or self._clock() >= until)

    def advice(self, session_id: str) -> str | None:
        """What to tell the model at the start of a turn: only what it was not told last time."""
        warning = self.requests.warning()
        if not self.obeys:
            return warning
        state = self.sessions.state(session_id)
        spared, state.spared = tuple(state.spared)[:MOST_LINES], {}
        before = state.advised
        state.advised = lines = (*filter(None, (warning,)), *self.obedience.advising.lines())
        news = () if lines == before else lines
        return "\n".join((*news, *spared)) or None
