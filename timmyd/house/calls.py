"""The tool calls that are under way, so that each is recorded once, whoever tells of its end first."""

import threading
import time
from typing import Any, Final, NamedTuple

from .failure import error_type
from .judgement import Judged, by
from .obey import Decision

_MOST_ENDED: Final = 512
_MOST_OPEN: Final = 4096


class Caller(NamedTuple):
    """Whose call it is: the session, its turn, and whether the call is in no transcript."""

    session: str
    turn: str
    inner: bool


class CallKey(NamedTuple):
    """What Hermes says of a call wherever it speaks of it; not unique, since ids may be missing or repeated.

    Attributes:
        session: As given, empty for a call from inside a script.
        request: The request to the model that asked for it, else the turn: repeated ids part there.
        call_id: As given.
        tool: Its name.
    """

    session: str
    request: str
    call_id: str
    tool: str


class CallUnderWay:
    """One tool call under way.

    Attributes:
        decision: What the policy said; None where it was not asked.
        began_s: `time.perf_counter` when it was let go.
        thread: The thread that it runs on.
        ended: Somebody has told of its end, and it is recorded.
        inside: Marks the context of what runs within it; set and taken back by the plugin.
    """

    __slots__ = ("args", "began_s", "caller", "decision", "ended", "inside", "key", "thread")

    def __init__(self, key: CallKey, caller: Caller, args: Any, decision: Decision | None) -> None:
        self.key = key
        self.caller = caller
        self.args = args
        self.decision = decision
        self.began_s = time.perf_counter()
        self.thread = threading.get_ident()
        self.ended = False
        self.inside: Any = None

    @property
    def refusal(self) -> str | None:
        """The sentence that stops it; None where it may run."""
        if self.decision is None or self.decision.allowed:
            return None
        return self.decision.message

    def is_again(self, key: CallKey) -> bool:
        """Whether Hermes wraps this very call a second time (0.17 and 0.19, parallel batches)."""
        mine = (self.key.tool, self.key.call_id, self.key.session)
        again = mine == (key.tool, key.call_id, key.session)
        return again and not self.ended and self.thread == threading.get_ident()


class Calls:
    """The calls under way by key, and the keys that ended last."""

    def __init__(self) -> None:
        self._open: dict[CallKey, list[CallUnderWay]] = {}
        self._ended: dict[CallKey, None] = {}
        self._lock = threading.Lock()

    def begin(self, call: CallUnderWay) -> None:
        """A call is under way, or was refused; its end has not been told."""
        with self._lock:
            self._ended.pop(call.key, None)
            self._open.setdefault(call.key, []).append(call)
            while len(self._open) > _MOST_OPEN:
                del self._open[next(iter(self._open))]

    def end(self, call: CallUnderWay) -> bool:
        """End a call; False: somebody was sooner, and it is recorded already."""
        with self._lock:
            return self._end(call)

    def end_of(self, key: CallKey) -> tuple[CallUnderWay | None, bool]:
        """End a call of a key: this thread's own, else the oldest.

        Returns:
            The call, None if none is known, and whether its end is news: not so for one that ended before.
        """
        with self._lock:
            waiting = self._open.get(key)
            if waiting:
                thread = threading.get_ident()
                call = next((call for call in waiting if call.thread == thread), waiting[0])
                return call, self._end(call) and call.refusal is None
            return None, key not in self._ended

    def _end(self, call: CallUnderWay) -> bool:
        waiting = self._open.get(call.key)
        if waiting and call in waiting:
            waiting.remove(call)
            if not waiting:
                del self._open[call.key]
        if call.ended:
            return False
        call.ended = True
        if call.key.call_id:  # without one, the next such call could not be told from this
            self._ended[call.key] = None
        while len(self._ended) > _MOST_ENDED:
            del self._ended[next(iter(self._ended))]
        return True


def judge_exception(error: BaseException) -> Judged:
    """Say what became of a call that raised: what Hermes makes of it is a text that begins with `Error`."""
    error = getattr(error, "original", error)  # Hermes wraps what it lets pass through middleware
    name = type(error).__name__
    if isinstance(error, (KeyboardInterrupt, GeneratorExit)) or name == "CancelledError":
        return by("interrupted")
    if isinstance(error, TimeoutError):
        return by("status_timeout", "timeout")
    return by("error_text", error_type(f"{name}:"))
