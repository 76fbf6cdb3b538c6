"""PURE: which calls of a turn only repeat what has failed, and when trying again is hopeless.

Nothing here is written anywhere: hashes of arguments and answers live in memory, for as long as a session does.
"""

import threading
from typing import Final, NamedTuple

from .folding import RepeatKey, brief, digest, folded_digest

ALIKE_LIMIT: Final = 8
"""Failures of calls that differ only in white space and digits, all with one error, before a refusal."""

REFUSALS_TO_END: Final = 2
"""Refusals in a row after which the turn is ended: refusing alone does not end it, the model goes on paying."""

_MOST_SESSIONS: Final = 256
_MOST_CALLS: Final = 512
_FAILED: Final = frozenset({"error", "timeout"})
_MENDS: Final = "build"


class Repetition(NamedTuple):
    """How often what is about to run has failed already in this turn.

    Attributes:
        identical: Failures of exactly this call, one after the other with the same answer.
        alike: Failures of calls that differ only in white space and digits, with one error.
        cycle: Failed calls since anything new was tried, each of which had failed before.
        waiting: It was refused in an earlier turn, and its next try is not due yet.
    """

    identical: int = 0
    alike: int = 0
    cycle: int = 0
    waiting: bool = False

    @property
    def is_new(self) -> bool:
        """Whether nothing speaks against it."""
        return not (self.identical or self.alike or self.waiting)

    def failures(self, limit: int) -> int:
        """How many failures speak against another try; 0 while no limit is reached."""
        if self.identical >= limit or (self.identical and self.cycle >= limit):
            return max(self.identical, self.cycle)
        if self.alike >= max(limit, ALIKE_LIMIT):
            return self.alike
        return limit if self.waiting else 0


_NEW: Final = Repetition()


class Stuck(NamedTuple):
    """Why a turn is to be ended: the tool that was refused, after how many failures."""

    tool: str
    shape: str
    failures: int


class _Failures:
    """Failures in a row of one call (or of calls alike), and the answer that they all had."""

    __slots__ = ("answer", "count")

    def __init__(self, answer: str) -> None:
        self.answer = answer
        self.count = 1

    def add(self, answer: str) -> None:
        """One more; another answer means that something moved, and counting begins again."""
        self.count = self.count + 1 if answer == self.answer else 1
        self.answer = answer


class _Wait:
    """A call that was refused: the turn in which it may be tried again, and the wait after that."""

    __slots__ = ("due", "wait")

    def __init__(self, turn: int) -> None:
        self.wait = 1
        self.due = turn + 1

    def failed_again(self, turn: int) -> None:
        """The one try of a turn failed too: the wait doubles (1, 2, 4, 8 turns and so on)."""
        self.wait *= 2
        self.due = turn + self.wait


class _Session:
    """The turn that is going on, and what earlier turns had to be refused."""

    __slots__ = (
        "alike", "blamed", "cycle", "failed", "number", "refused", "seen", "stuck", "turn", "waits",
    )  # fmt: skip

    def __init__(self) -> None:
        self.number = 0
        self.waits: dict[str, _Wait] = {}
        self.begin("")

    def begin(self, turn: str) -> None:
        """Another turn: what failed before counts only where it was refused."""
        self.turn = turn
        self.number += 1
        self.failed: dict[str, _Failures] = {}
        self.alike: dict[str, _Failures] = {}
        self.seen: set[tuple[str, str]] = set()
        self.blamed: set[str] = set()
        self.cycle = 0
        self.refused = 0
        self.stuck: Stuck | None = None

    @property
    def troubled(self) -> bool:
        """Whether anything failed that a call could repeat."""
        return bool(self.failed or self.alike or self.waits)

    def mended(self) -> None:
        """Something was changed on purpose: every call may work now."""
        self.failed.clear()
        self.alike.clear()
        self.waits.clear()
        self.cycle = 0


class Spirals:
    """Counts repeats per session and turn. Safe for many threads; its memory is bounded."""

    def __init__(self) -> None:
        self._sessions: dict[str, _Session] = {}
        self._lock = threading.Lock()

    def repeats(self, session: str, turn: str, call: RepeatKey) -> Repetition:
        """How often a call that is about to run has failed in this turn."""
        with self._lock:
            state = self._state(session, turn)
            if not state.troubled:
                return _NEW
            failed, alike = state.failed.get(call.exact), state.alike.get(call.folded)
            waits = (state.waits.get(call.exact), state.waits.get(call.folded))
            return Repetition(
                identical=0 if failed is None else failed.count,
                alike=0 if alike is None else alike.count,
                cycle=state.cycle,
                waiting=any(wait is not None and state.number < wait.due for wait in waits),
            )

    def refuse(self, session: str, turn: str, call: RepeatKey, stuck: Stuck) -> None:
        """A call was refused: it may be tried once in later turns, after growing waits."""
        with self._lock:
            state = self._state(session, turn)
            failed, alike = state.failed.get(call.exact), state.alike.get(call.folded)
            varies = alike is not None and (failed is None or alike.count > failed.count)
            key = call.folded if varies else call.exact
            if call.exact not in state.waits and call.folded not in state.waits:
                state.waits[key] = _Wait(state.number)
                _bound(state.waits)
            state.refused += 1
            state.stuck = stuck

    def ran(
        self, session: str, turn: str, call: RepeatKey, *, outcome: str, answer: object, task: str
    ) -> bool:
        """A call has run. What it answered is hashed and forgotten.

        Args:
            session: Whose call.
            turn: In which turn.
            call: Which call.
            outcome: Its outcome.
            answer: Its result, of any type.
            task: Its task type; a successful build call may have mended what failed.

        Returns:
            Whether its failure says nothing new of its tool: the very same call has failed in this turn, and
            has not worked since.
        """
        text = brief(answer)
        exact = digest(text)
        with self._lock:
            state = self._state(session, turn)
            new = (call.exact, exact) not in state.seen
            again = outcome in _FAILED and call.exact in state.blamed
            if len(state.seen) < _MOST_CALLS:
                state.seen.add((call.exact, exact))
            if outcome in _FAILED:
                state.blamed.add(call.exact)
                self._failed(state, call, exact, folded_digest(text))
            elif outcome == "ok":
                state.blamed.discard(call.exact)
                if state.troubled:
                    for table in (state.failed, state.waits):
                        table.pop(call.exact, None)
                    for table in (state.alike, state.waits):
                        table.pop(call.folded, None)
                if task == _MENDS:
                    state.mended()
            if new:
                state.refused, state.stuck = 0, None
                if outcome not in _FAILED:
                    state.cycle = 0
            return again

    def _failed(self, state: _Session, call: RepeatKey, exact: str, folded: str) -> None:
        known = state.failed.get(call.exact)
        if known is None:
            state.failed[call.exact] = _Failures(exact)
            state.cycle = 0
        else:
            state.cycle = state.cycle + 1 if known.answer == exact else 0
            known.add(exact)
        alike = state.alike.get(call.folded)
        if alike is None:
            state.alike[call.folded] = _Failures(folded)
        else:
            alike.add(folded)
        for key in (call.exact, call.folded):
            wait = state.waits.get(key)
            if wait is not None and state.number >= wait.due:
                wait.failed_again(state.number)
        _bound(state.failed)
        _bound(state.alike)

    def stuck(self, session: str, turn: str) -> Stuck | None:
        """Why this turn is to be ended now; None lets it go on."""
        with self._lock:
            state = self._sessions.get(session)
            if state is None or (turn and state.turn != turn):
                return None
            return state.stuck if state.refused >= REFUSALS_TO_END else None

    def _state(self, session: str, turn: str) -> _Session:
        state = self._sessions.pop(session, None) or _Session()
        self._sessions[session] = state
        while len(self._sessions) > _MOST_SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        if state.turn != turn:
            state.begin(turn)
        return state


def _bound(table: dict[str, _Failures] | dict[str, _Wait]) -> None:
    while len(table) > _MOST_CALLS:
        table.pop(next(iter(table)))
