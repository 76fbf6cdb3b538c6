"""What is known of the sessions of a home, many of them in one process, and whose a call is."""

import os
import threading
from collections.abc import Callable
from typing import Any

from .calls import Caller, CallUnderWay
from .model_request import Route

_MOST_KEPT = 4096


class SessionState:
    """What the hooks have told of a session so far.

    Attributes:
        turn: The id of its turn; made here for a Hermes that names none.
        model: What the agent says it talks to.
        chosen: What the kit would put in its place in this turn, by task type; empty for nothing.
        drawn: What the kit did put in its place for the request that is under way.
        route: Where its last request to a model went.
        ended_by: The rule by which our own answer ended its turn; empty while none did.
        skill: The skill that was loaded last.
        task: The task type of its last call.
        advised: The advice it was given last.
        spared: Sentences of refusals that are advice only for now, to be told with the next turn.
    """

    __slots__ = (
        "advised", "chosen", "drawn", "ended_by", "model", "route", "skill", "spared", "task", "turn",
    )  # fmt: skip

    def __init__(self) -> None:
        self.turn = ""
        self.model: str | None = None
        self.chosen: dict[str, str] = {}
        self.drawn: str | None = None
        self.route: Route | None = None
        self.ended_by = ""
        self.skill: str | None = None
        self.task = ""
        self.advised: tuple[str, ...] = ()
        self.spared: dict[str, None] = {}


def _keep(table: dict[Any, Any]) -> None:
    """Forget the oldest entries of a table that has grown too long."""
    while len(table) > _MOST_KEPT:
        table.pop(next(iter(table)), None)


class Sessions:
    """The sessions by id, and whose work a task id stands for."""

    def __init__(self) -> None:
        self._states: dict[str, SessionState] = {}
        self._callers: dict[str, Caller] = {}
        self._lock = threading.Lock()
        self._turns = 0

    def state(self, session_id: str) -> SessionState:
        """What is known of a session; new if nothing is."""
        state = self._states.get(session_id)
        if state is None:
            state = self._states[session_id] = SessionState()
            _keep(self._states)
        return state

    def begin_turn(
        self, session_id: str, turn: str, task_id: str, *, model: str | None, beside: bool
    ) -> SessionState:
        """A turn begins. Work beside the session, such as its review, leaves the session's own turn alone."""
        with self._lock:
            self._turns += 1
            turn = turn or f"{os.getpid():x}-{self._turns}"
            state = self.state(session_id)
            if not beside:
                state.turn, state.chosen, state.drawn, state.ended_by = turn, {}, None, ""
                state.model = model or state.model
            self._remember(task_id, Caller(session_id, turn, beside))
            return state

    def caller(
        self,
        session_id: str,
        turn: str,
        task_id: str,
        *,
        beside: bool = False,
        within: CallUnderWay | None = None,
        here: Callable[[], str] = str,
    ) -> Caller | None:
        """Whose call it is; None if nobody knows, and it is not recorded.

        Args:
            session_id: Empty for a call from inside a script.
            turn: Its turn, as far as given.
            task_id: What Hermes calls the work of a turn.
            beside: It is Hermes' own work beside the session.
            within: The call whose context this is: the script that makes it.
            here: Asks Hermes for the session of this context.
        """
        with self._lock:
            if session_id:
                found = Caller(session_id, turn or self.state(session_id).turn, beside)
                if not beside:
                    self.state(session_id).turn = found.turn
                self._remember(task_id, found)
                return found
            known = None if within is None or within.ended else within.caller
            if known is None and (session := here()):
                known = Caller(session, self.state(session).turn, inner=True)
            known = known or self._callers.get(task_id)
            return None if known is None else known._replace(inner=True)

    def session_of(self, task_id: str) -> str:
        """The session that a task id belongs to; empty if it is not known."""
        with self._lock:
            known = self._callers.get(task_id)
            return "" if known is None else known.session

    def _remember(self, task_id: str, caller: Caller) -> None:
        if task_id:
            self._callers.pop(task_id, None)  # the newest last, so that the oldest are forgotten
            self._callers[task_id] = caller
            _keep(self._callers)
