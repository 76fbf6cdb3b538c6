"""What Hermes tells of sessions, turns and requests to models: remembered, and written down.

From 0.21 on Hermes skips a hook whose callback still runs in another session. No such latch stands before a
middleware, so the one around requests (`ask`) makes good what a skipped hook did not tell of its turn.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from .kit import Kit
from .model_request import ModelRequest, answered, failed, failure_of, route, text, word
from .requests import RequestDecision, usage_of
from .surroundings import cron_job, in_side_work


class SessionHooks(ABC):
    """The hooks that are not about tool calls. They only observe, so a Hermes that skips one loses a line."""

    @abstractmethod
    def kit(self) -> Kit:
        """The kit of the current home."""

    def pre_llm_call(
        self, *, session_id: str = "", turn_id: str = "", task_id: str = "", **given: Any
    ) -> dict[str, str] | None:
        """A turn begins: note it, and give the model a few lines of advice if there is any."""
        kit, beside = self.kit(), in_side_work()
        self._about(kit, session_id, given)
        model = text(given.get("model")) or None
        kit.sessions.begin_turn(
            session_id, turn_id or "", task_id or "", model=model, beside=beside
        )
        kit.asking.keep_caps()
        advice = None if beside else kit.advice(session_id)
        return None if advice is None else {"context": advice}

    def ask(
        self, *, session_id: str = "", turn_id: str = "", task_id: str = "", **given: Any
    ) -> RequestDecision | None:
        """A request is about to be sent; None where it is nobody's that we know."""
        if not session_id:
            return None
        kit, beside = self.kit(), in_side_work()
        self._make_good(session_id)
        self._about(kit, session_id, given)
        kit.recorder.about(session_id, parent=self._delegating())
        if turn_id and not beside and kit.sessions.state(session_id).turn != turn_id:
            model = text(given.get("model")) or None
            kit.sessions.begin_turn(session_id, turn_id, task_id or "", model=model, beside=False)
        return kit.asking.before(session_id, given, beside=beside)

    def request_failed(
        self, asked: RequestDecision | None, *, session_id: str = "", **_: Any
    ) -> None:
        """It came to nothing: what was reserved for it is free again."""
        if asked is not None:
            self.kit().requests.failed(asked, session_id)

    def request_answered(
        self, response: object, seconds: float, *, session_id: str = "", **given: Any
    ) -> None:
        """It was answered: a hook tells of it next, or is skipped."""
        if session_id:
            self.kit().untold.answered(
                session_id, given, response, beside=in_side_work(), seconds=seconds
            )

    def _make_good(self, session_id: str) -> None:
        """Tell what a skipped hook did not: the session has gone on since."""
        for told in self.kit().untold.take(session_id, beside=in_side_work()):
            self._answered(session_id, told)

    def post_api_request(self, *, session_id: str = "", **given: Any) -> None:
        """Record a request to the model that was answered, but for one that we answered."""
        if self.kit().untold.is_news(session_id, given.get("api_request_id")):
            self._answered(session_id, given)

    def _answered(self, session_id: str, given: Mapping[str, Any]) -> None:
        kit = self.kit()
        if kit.sessions.state(session_id).ended_by and not in_side_work():
            return
        kit.asking.used(session_id, text(given.get("model")), given.get("usage"))
        self._model_line(session_id, given, answered)

    def post_auxiliary_call(self, **given: Any) -> None:
        """Count what Hermes asked a model for itself, where it tells."""
        kit, usage = self.kit(), usage_of(given.get("usage"))
        if usage is not None:
            kit.requests.aside(text(given.get("model")), usage)

    def api_request_error(self, *, session_id: str = "", **given: Any) -> None:
        """Record a request to the model that failed."""
        self.kit().untold.is_news(session_id, given.get("api_request_id"))  # a response of no use
        self._model_line(session_id, given, failed)

    def on_session_start(self, *, session_id: str = "", **given: Any) -> None:
        """A new session: remember where it runs."""
        self._about(self.kit(), session_id, given)

    def on_session_end(
        self, *, session_id: str = "", completed: Any = None, interrupted: Any = None, **given: Any
    ) -> None:
        """A turn is over; the turn of a background review is none of the session's."""
        self._make_good(session_id)
        if not in_side_work():
            kit = self.kit()
            ended_by = kit.sessions.state(session_id).ended_by
            kit.recorder.end(
                session_id, completed=bool(completed) and not ended_by, interrupted=bool(interrupted),
                reason=ended_by or word(given.get("turn_exit_reason")),
            )  # fmt: skip

    def on_skill_lifecycle(
        self, *, action: str = "", skill_name: str = "", session_id: str = "", **given: Any
    ) -> None:
        """A skill was loaded: the calls that follow are under it."""
        kit = self.kit()
        if action == "loaded":
            kit.use_skill(
                session_id or kit.sessions.session_of(text(given.get("task_id"))), skill_name
            )

    def subagent_start(
        self, *, parent_session_id: str = "", child_session_id: str = "", **_: Any
    ) -> None:
        """A subagent starts: its session has a parent."""
        if child_session_id:
            self.kit().recorder.about(child_session_id, parent=parent_session_id or None)

    @abstractmethod
    def _delegating(self) -> str | None:
        """The session whose call this context runs within: the parent of a session that is another."""

    def _about(self, kit: Kit, session_id: str, given: Mapping[str, Any]) -> None:
        platform = text(given.get("platform")) or None
        kit.recorder.about(session_id, platform=platform, cron=cron_job(session_id))

    def _model_line(
        self,
        session_id: str,
        given: Mapping[str, Any],
        told: Callable[[Mapping[str, Any], str | None, str | None], ModelRequest],
    ) -> None:
        if not session_id:
            return
        kit, beside = self.kit(), in_side_work()
        self._about(kit, session_id, given)
        went = route(given)
        asked, before = kit.asking.asked(session_id, went, beside=beside)
        request = told(given, asked, went.fallback_from(before))
        failure = None if request.outcome == "ok" else failure_of(given, request)
        kit.asking.count(session_id, request, went, failure)
