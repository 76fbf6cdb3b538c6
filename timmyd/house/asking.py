"""Asking: all that the agent of a home asks of models, before a request, after it, and which model is asked."""

from collections.abc import Callable, Mapping
from typing import Any

from .answers import MODES
from .model_request import ModelRequest, Route, text
from .modes import Mode
from .obey import Obedience
from .outages import FailedRequest, Upstream
from .reader import Policies
from .recorder import Recorder
from .requests import RequestDecision, RequestGate, usage_of
from .seam import Caps
from .sessions import Sessions
from .settings import KitSettings


class Asking:
    """Caps hold in every mode; turns end for another reason only where the policy is obeyed.

    Args:
        settings: How the kit is set.
        policies: Where the policy comes from.
        recorder: Writes a line a request.
        obedience: What the policy says of models.
        sessions: What is known of the sessions.
        gate: What stops a request, and what is told of it.
        refuses: Whether refusals that 0.1 did not know count already.
        draw: A number in [0, 1), for the published shares of exploration.
    """

    def __init__(
        self,
        settings: KitSettings,
        policies: Policies,
        recorder: Recorder,
        obedience: Obedience,
        sessions: Sessions,
        gate: RequestGate,
        *,
        refuses: Callable[[], bool],
        draw: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._policies = policies
        self._recorder = recorder
        self._obedience = obedience
        self._sessions = sessions
        self._gate = gate
        self._refuses = refuses
        self._draw = draw
        self._obeys = settings.mode != Mode.SIMPLE

    def before(self, session_id: str, given: Mapping[str, Any], *, beside: bool) -> RequestDecision:
        """A request to a model is about to be sent: what to answer instead, if anything."""
        caps = Caps.HELD if text(given.get("api_mode")) in MODES else Caps.UNKNOWN_MODE
        self._recorder.caps = caps
        self._recorder.about(session_id, caps=caps)
        state = self._sessions.state(session_id)
        may_end = not beside and self._refuses() and self._policies.document is not None
        asked = self._gate.before(
            given,
            session=session_id,
            turn=state.turn,
            model=None if beside else state.drawn,
            may_end=may_end,
        )
        if asked.answer is not None:
            state.ended_by = asked.rule
            refused = ModelRequest(
                asked.model or state.model, text(given.get("provider")) or None, "blocked"
            )
            self._recorder.model(
                session_id, **refused._asdict(), rule=asked.rule, skill=state.skill
            )
        return asked

    def used(self, session_id: str, model: str | None, usage: Any) -> None:
        """What a request used, as Hermes tells it."""
        self._gate.usage(session_id, model or "", usage_of(usage))

    def keep_caps(self) -> None:
        """Keep the published caps of the house, so that they hold without the daemon."""
        table = self._policies.budget(self._settings.house)
        if table is not None:
            self._gate.budget.publish(table)

    def choose_model(
        self, session_id: str, request: Mapping[str, Any], where: Route, *, local: bool
    ) -> str | None:
        """The published model for the work at hand; None: leave it.

        Drawn once a turn and task type, and again where the one that was drawn is down now.
        """
        if not self._obeys or (self._settings.mode == Mode.SOVEREIGN and not local):
            return None
        state = self._sessions.state(session_id)
        own = str(request.get("model"))

        def is_down(model: str) -> bool:
            upstream = Upstream.of(where.provider, where.base_url, model)
            return self._gate.providers.down(upstream) is not None

        known = state.chosen.get(state.task)
        if known is None or is_down(known or own):
            state.chosen[state.task] = (
                self._obedience.draw_model(state.task, self._draw(), own=own, is_down=is_down) or ""
            )
        model = state.chosen[state.task]
        state.drawn = model or None
        return model if model and model != own else None

    def asked(
        self, session_id: str, went: Route, *, beside: bool
    ) -> tuple[str | None, Route | None]:
        """A request to a model is over: which model was asked, and where the one before it went."""
        state = self._sessions.state(session_id)
        before = state.route
        state.route = went
        if went.model and not beside:
            state.model = went.model
        return (None if beside else state.drawn) or went.model or None, before

    def count(
        self, session_id: str, request: ModelRequest, went: Route, failure: FailedRequest | None
    ) -> None:
        """Record a request that is over, and count it towards the breakers of its model and its provider."""
        skill = self._sessions.state(session_id).skill
        self._recorder.model(session_id, **request._asdict(), skill=skill)
        if self._obeys and request.model is not None:
            self._policies.record(
                None, request.outcome,
                house=self._settings.house, session=session_id, model=request.model,
            )  # fmt: skip
            upstream = Upstream.of(went.provider, went.base_url, request.model)
            if failure is None:
                self._gate.providers.answered(upstream)
            else:
                self._gate.providers.failed(upstream, failure)
