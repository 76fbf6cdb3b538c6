"""One attempt of a wrapped call: its plan, its time limit, and what an exception says of it."""

import asyncio
import contextvars
import inspect
import re
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .obey import Decision
from .outcome import OUTCOMES

_NOT_A_WORD = re.compile(r"[^a-z0-9]+")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_LONGEST_ERROR_TYPE = 40


class CallTimeoutError(TimeoutError):
    """A call took longer than it may. A thread cannot be stopped: its work may go on."""

    def __init__(self, tool: str, timeout_s: float) -> None:
        super().__init__(f"{tool} took longer than {timeout_s:g} s")


class RefusedError(Exception):
    """The policy did not let the call run; the text is one sentence fit for a model.

    Attributes:
        decision: Which rule refused it, and what was known of the call.
    """

    def __init__(self, decision: Decision) -> None:
        self.decision = decision
        super().__init__(decision.message)


@dataclass(frozen=True, slots=True)
class Plan:
    """How the calls of one wrapped function are made; see `Harness.wrap`."""

    tool: str
    timeout_s: float | None = None
    retries: int = 0
    pause_s: float = 0.5
    judge: Callable[[Any], str] | None = None

    def outcome(self, result: object) -> str:
        """The outcome of a call that returned; `unknown` if the judge fails or says no known word."""
        if self.judge is None:
            return "ok"
        try:
            word = self.judge(result)
        except Exception:  # noqa: BLE001 - somebody else's code, after the work is done
            return "unknown"
        return word if word in OUTCOMES else "unknown"


@dataclass(frozen=True, slots=True)
class Work:
    """A function with the arguments of one call."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    def __call__(self) -> Any:
        """Call it."""
        return self.function(*self.args, **self.kwargs)

    def params(self) -> dict[str, Any]:
        """The arguments by name; values that are no JSON stand for their type."""
        try:
            bound = inspect.signature(self.function).bind(*self.args, **self.kwargs)
        except (TypeError, ValueError):
            return dict(self.kwargs)
        return dict(bound.arguments)


def outcome_of(error: BaseException) -> tuple[str, str | None]:
    """The outcome of a call that raised, and a code for counting made of the exception's class."""
    if isinstance(error, TimeoutError):
        return "timeout", "timeout"
    if isinstance(error, (asyncio.CancelledError, KeyboardInterrupt, GeneratorExit)):
        return "cancelled", None
    words = _HUMP.sub("_", type(error).__name__).lower()
    return "error", _NOT_A_WORD.sub("_", words).strip("_")[:_LONGEST_ERROR_TYPE] or None


def in_thread(plan: Plan, work: Work, done: Callable[[], None]) -> Any:
    """Run a function in a thread of its own and wait for it as long as the plan says.

    Args:
        plan: Its `timeout_s` is the limit.
        work: What to run, in a copy of the caller's context.
        done: Called when the function has really ended, also long after its time was up.

    Raises:
        CallTimeoutError: The time is up.
    """
    box: list[tuple[bool, Any]] = []
    context = contextvars.copy_context()

    def run() -> None:
        try:
            box.append((True, context.run(work)))
        except BaseException as error:  # noqa: BLE001 - handed to the caller
            box.append((False, error))
        finally:
            done()

    thread = threading.Thread(target=run, name=f"timmy-{plan.tool}"[:15], daemon=True)
    try:
        thread.start()
    except RuntimeError:
        done()
        raise
    thread.join(plan.timeout_s)
    if not box:
        raise CallTimeoutError(plan.tool, plan.timeout_s or 0.0)
    returned, value = box[0]
    if not returned:
        raise value
    return value


async def within(plan: Plan, work: Awaitable[Any]) -> Any:
    """Await as long as the plan says.

    Raises:
        CallTimeoutError: The time is up; the coroutine was cancelled.
    """
    limit = asyncio.timeout(plan.timeout_s)
    try:
        async with limit:
            return await work
    except TimeoutError:
        if not limit.expired():
            raise
        raise CallTimeoutError(plan.tool, plan.timeout_s or 0.0) from None
