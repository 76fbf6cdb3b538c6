"""Harness, House, Mode: for houses that are not Hermes, any callable under the same policy."""

import asyncio
import contextvars
import functools
import inspect
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast
from weakref import WeakKeyDictionary

from . import KIT_VERSION
from .attempt import CallTimeoutError, Plan, RefusedError, Work, in_thread, outcome_of, within
from .modes import House, Mode
from .obey import Decision, Obedience
from .probes import PROBES
from .reader import Policies
from .recorder import Recorder
from .shape import signature
from .surroundings import house_folder

P = ParamSpec("P")
R = TypeVar("R")

__all__ = ["CallTimeoutError", "Harness", "House", "Mode", "RefusedError"]


class Harness:
    """Puts callables under the policy of a house and records what becomes of them.

    For each call: the prediction and the breaker are asked, it waits for a free place, runs
    with a timeout, is tried again after a growing pause if it failed, and is recorded. Each
    attempt is a call of its own. A call's arguments are never stored.

    Args:
        house: Whose calls these are.
        mode: See `Mode`; `session`: names the conversation or job, made up if None.
        model: The model that asks for the calls, if there is one; may be set again at any time.
        directory: A directory that the daemon watches for this house; telemetry goes to its
            subfolder `timmy`. None: `$XDG_STATE_HOME/timmyd/houses/<house>`.
        policies: Where the policy comes from; `concurrency`: how many calls may run at once.
        clock: Unix seconds; `monotonic`: seconds of a clock that never jumps; `sleep`: how a
            synchronous call waits before it is tried again; `draw`: uniform in [0, 1).
    """

    def __init__(
        self,
        house: str,
        *,
        mode: Mode | str = Mode.INTELLIGENT,
        session: str | None = None,
        model: str | None = None,
        directory: str | os.PathLike[str] | None = None,
        policies: Policies | None = None,
        concurrency: int = 4,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.house = House(house)
        self.mode = Mode(mode)
        self.session = session or f"{os.getpid():x}-{os.urandom(6).hex()}"
        self.model = model
        self.policies = policies or Policies(own_only=self.mode is Mode.SOVEREIGN, house=self.house)
        folder = house_folder(self.house) if directory is None else Path(directory)
        self.recorder = Recorder(folder / "timmy", house=self.house, kit=KIT_VERSION, clock=clock)
        self.recorder.about(self.session, platform="harness")
        self.policies.claim_probes_in(folder / "timmy" / PROBES)
        self._obedience = Obedience(self.policies, self.house, clock=clock)
        self._monotonic = monotonic
        self._sleep = sleep
        self._draw = draw
        self._concurrency = max(1, concurrency)
        self._places = threading.BoundedSemaphore(self._concurrency)
        self._serial = threading.Lock()
        self._loops: WeakKeyDictionary[
            asyncio.AbstractEventLoop, tuple[asyncio.Semaphore, asyncio.Lock]
        ] = WeakKeyDictionary()
        self._turn: contextvars.ContextVar[str] = contextvars.ContextVar("turn", default="0")
        self._drawn: dict[str, str | None] = {}
        self._count = 0
        self._lock = threading.Lock()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """The calls within belong to one turn: one task given, one answer back."""
        token = self._turn.set(self._next("t"))
        completed = False
        try:
            yield
            completed = True
        finally:
            self._turn.reset(token)
            self.recorder.end(self.session, completed=completed, interrupted=not completed)

    def predict(self, tool: str, **params: Any) -> tuple[float | None, str]:
        """The probability that a call succeeds, and why; (None, words) without enough evidence."""
        return self.policies.predict_success(tool, self.house, params)

    def choose_model(self, task_type: str, default: str) -> str:
        """The model for a task type: the published one where it is sure enough, else `default`."""
        if self.mode is not Mode.SIMPLE:
            drawn = self._obedience.draw_model(task_type, self._draw(), own=default)
            self._drawn[task_type] = drawn
        return self._drawn.get(task_type) or default

    def choose_house(self, tool: str) -> tuple[House, bool]:
        """The house for a tool, and whether to go there by itself (True) or only suggest it."""
        if self.mode is Mode.SIMPLE:
            return self.house, False
        house, applies = self._obedience.house_for(tool)
        return House(house), applies

    def wrap(
        self,
        tool: str,
        function: Callable[P, R],
        *,
        timeout_s: float | None = None,
        retries: int = 0,
        pause_s: float = 0.5,
        judge: Callable[[R], str] | None = None,
    ) -> Callable[P, R]:
        """Put a function, synchronous or not, under the policy.

        Args:
            tool: What the calls are counted as.
            function: What to call; it must be safe to call again if `retries` is not 0.
            timeout_s: Longest run of one attempt; None: no limit.
            retries: How often to try again after an error or a timeout.
            pause_s: Mean of the first pause; each later one is twice as long.
            judge: Says from a result which of the seven outcomes it is; None: all is ok that
                raises nothing.

        Returns:
            A function with the same signature. It raises `RefusedError` if the policy refuses,
            `CallTimeoutError`, or whatever the last attempt raised.
        """
        plan = Plan(tool, timeout_s, retries, pause_s, judge)
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def awaited(*args: P.args, **kwargs: P.kwargs) -> Any:
                return await self._run_async(plan, Work(function, args, kwargs))

            return cast("Callable[P, R]", awaited)

        @functools.wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> R:
            return cast("R", self._run(plan, Work(function, args, kwargs)))

        return called

    def tool(self, name: str, **options: Any) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """`wrap` as a decorator: `@harness.tool("deploy", timeout_s=60, retries=2)`."""
        return lambda function: self.wrap(name, function, **options)

    def _run(self, plan: Plan, work: Work) -> Any:
        params = work.params()
        for attempt in range(plan.retries + 1):
            decision = self._ask(plan.tool, params)
            with self._serial if decision.serial else nullcontext():
                try:
                    return self._attempt(plan, work, params, decision)
                except Exception:
                    if attempt == plan.retries:
                        raise
            self._sleep(self._pause(plan, attempt))
        raise AssertionError

    def _attempt(self, plan: Plan, work: Work, params: Any, decision: Decision) -> Any:
        self._places.acquire()
        started = self._monotonic()
        try:
            if plan.timeout_s is not None:
                result = in_thread(plan, work, self._places.release)
            else:
                try:
                    result = work()
                finally:
                    self._places.release()
        except BaseException as error:
            self._line(plan.tool, params, decision, outcome_of(error), self._since(started), error)
            raise
        end = plan.outcome(result), None
        self._line(plan.tool, params, decision, end, self._since(started), result)
        return result

    async def _run_async(self, plan: Plan, work: Work) -> Any:
        params = work.params()
        for attempt in range(plan.retries + 1):
            decision = self._ask(plan.tool, params)
            places, alone = self._of_loop()
            async with alone if decision.serial else nullcontext():
                try:
                    async with places:
                        return await self._attempt_async(plan, work, params, decision)
                except Exception:
                    if attempt == plan.retries:
                        raise
            await asyncio.sleep(self._pause(plan, attempt))
        raise AssertionError

    async def _attempt_async(self, plan: Plan, work: Work, params: Any, decision: Decision) -> Any:
        started = self._monotonic()
        try:
            result = await within(plan, work())
        except BaseException as error:
            self._line(plan.tool, params, decision, outcome_of(error), self._since(started), error)
            raise
        end = plan.outcome(result), None
        self._line(plan.tool, params, decision, end, self._since(started), result)
        return result

    def _since(self, started: float) -> float:
        return round((self._monotonic() - started) * 1000.0, 1)

    def _ask(self, tool: str, params: Any) -> Decision:
        """What the policy says; fails open, and raises only to refuse."""
        if self.mode is Mode.SIMPLE:
            return Decision()
        try:
            turn = self._turn.get()
            decision = self._obedience.before(tool, params, session=self.session, turn=turn)
        except Exception:  # noqa: BLE001 - the work comes first
            return Decision()
        if not decision.allowed:
            self._obedience.refused(decision, session=self.session, turn=turn)
            self._line(tool, params, decision, ("blocked", None), None)
            raise RefusedError(decision)
        return decision

    def _line(self, *told: Any) -> None:
        with suppress(Exception):
            self._record(*told)

    def _record(
        self,
        tool: str,
        params: Any,
        decision: Decision,
        end: tuple[str, str | None],
        latency_ms: float | None,
        answer: Any = None,
    ) -> None:
        outcome, error_type = end
        obeys = self.mode is not Mode.SIMPLE
        short, task = self._obedience.describe(tool, params)
        document = self.policies.document if obeys else None
        self.recorder.tool(
            self.session,
            tool=tool,
            call_id=self._next("c"),
            turn=self._turn.get(),
            inner=False,
            model=self.model,
            signature=signature(params),
            shape=short,
            outcome=outcome,
            rule=decision.rule or f"harness_{outcome}",
            error_type=error_type,
            latency_ms=latency_ms,
            policy=None if document is None else document.revision,
            followed=self._obedience.followed(
                tool, task, self.model, drawn=self.model == self._drawn.get(task, "")
            )
            if obeys
            else None,
        )
        if obeys and decision.allowed:
            turn = self._turn.get()
            self._obedience.after(
                tool, outcome, task=task, session=self.session, turn=turn,
                key=decision.key, answer=answer,
            )  # fmt: skip

    def _next(self, kind: str) -> str:
        with self._lock:
            self._count += 1
            return f"{kind}{self._count}"

    def _pause(self, plan: Plan, attempt: int) -> float:
        """A random pause, on average twice the one before, so that houses do not come back together.

        Source:
            M. Brooker, Exponential backoff and jitter (2015), full jitter.
        """
        return plan.pause_s * float(2**attempt) * 2.0 * self._draw()

    def _of_loop(self) -> tuple[asyncio.Semaphore, asyncio.Lock]:
        loop = asyncio.get_running_loop()
        new = (asyncio.Semaphore(self._concurrency), asyncio.Lock())
        return self._loops.setdefault(loop, new)
