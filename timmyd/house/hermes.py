"""The Hermes plugin: what the agent calls, each wrapped so that nothing of ours can reach the agent.

Works on every Hermes with plugins; what a version does not report is left out. Before 0.17 there
are no turn ids, no parent of a subagent, no failed requests, and no report after a tool that the
agent loop runs itself (todo, memory, delegate_task and the like).
"""

import contextvars
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any

from .calls import Caller, CallKey, CallUnderWay
from .kit import Kit
from .model_request import figure, route, text
from .requests import RequestDecision
from .seam import LLM_EXECUTION, TOOL_EXECUTION, Caps, Seam, seams, wraps_requests
from .session_hooks import SessionHooks
from .settings import kit_settings
from .slash import text as slash_text  # now: an upgrade must not mix two versions of the kit later
from .surroundings import (
    hermes_home,
    hermes_version,
    in_side_work,
    is_local,
    session_here,
    state_folder,
    tools,
)

failures = 0
"""How often something of ours went wrong in this process; shown by /timmy."""

_DESCRIPTION = "What timmy sees: open breakers, what was learned, the policy in force"
_TOOL_HOOKS = frozenset({"pre_tool_call", "post_tool_call"})
_MARKS = frozenset({"blocked", "cancelled", "timeout"})

_within: contextvars.ContextVar[CallUnderWay | None] = contextvars.ContextVar(
    "timmy_call", default=None
)
"""The call that this context runs within; Hermes copies contexts to the threads of scripts."""


def _guarded(hook: Callable[..., Any]) -> Callable[..., Any]:
    """Let nothing of ours reach the agent: whatever goes wrong counts as having said nothing.

    Not even what ends a process: only the agent may end. (A Ctrl-C that falls into these few
    microseconds is lost, and has to be pressed again.)
    """

    @wraps(hook)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        global failures  # noqa: PLW0603 - one figure a process
        try:
            return hook(*args, **kwargs)
        except BaseException:  # noqa: BLE001 - the agent comes first
            failures += 1
            return None

    return guarded


def register(ctx: Any, plugin: "HermesPlugin | None" = None) -> None:
    """Hook into an agent. Never raises; what this Hermes refuses is left out."""
    global failures  # noqa: PLW0603 - as in `_guarded`
    try:
        _register(ctx, plugin or HermesPlugin())
    except BaseException:  # noqa: BLE001 - the agent comes first
        failures += 1


def _register(ctx: Any, plugin: "HermesPlugin") -> None:
    known = getattr(sys.modules.get("hermes_cli.plugins"), "VALID_HOOKS", plugin.HOOKS)
    for name in plugin.HOOKS:
        if name not in _TOOL_HOOKS and name in known:
            with suppress(Exception):
                ctx.register_hook(name, _guarded(getattr(plugin, name)))
    for seam in seams(ctx, sys.modules):
        with suppress(Exception):
            _attach(ctx, plugin, seam)
            plugin.seam = seam
            break
    with suppress(Exception):
        ctx.register_command("timmy", _guarded(plugin.command), description=_DESCRIPTION)
    with suppress(Exception):
        if wraps_requests(ctx, sys.modules):
            ctx.register_middleware(LLM_EXECUTION, _around_model(plugin))
            plugin.can_stop_requests = True
    with suppress(Exception):
        if plugin.kit().settings.choose_model:
            ctx.register_middleware("llm_request", _guarded(plugin.llm_request))


def _attach(ctx: Any, plugin: "HermesPlugin", seam: Seam) -> None:
    """Meet the tool calls at one seam."""
    if seam is Seam.MIDDLEWARE:
        ctx.register_middleware(TOOL_EXECUTION, _around(plugin))
        with suppress(Exception):
            ctx.register_hook("post_tool_call", _guarded(plugin.mark))
        return
    if seam is Seam.HOOKS:
        ctx.register_hook("pre_tool_call", _guarded(plugin.pre_tool_call))
    ctx.register_hook("post_tool_call", _guarded(plugin.post_tool_call))


def _around(plugin: "HermesPlugin") -> Callable[..., Any]:
    """The middleware: the agent's own call once, whatever it gives or raises, unchanged."""
    enter, leave = _guarded(plugin.enter), _guarded(plugin.leave)

    def tool_execution(*, next_call: Any, args: Any = None, **given: Any) -> Any:
        call: CallUnderWay | None = enter(args=args, **given) if callable(next_call) else None
        if call is not None and call.refusal is not None:
            return json.dumps({"error": call.refusal}, ensure_ascii=False)
        try:
            result = next_call(args)
        except BaseException as error:
            leave(call, error=error)
            raise
        leave(call, result=result)
        return result

    return tool_execution


def _around_model(plugin: "HermesPlugin") -> Callable[..., Any]:
    """The middleware around a request to a model: the agent's own once, or an answer of ours in its place."""
    ask, failed = _guarded(plugin.ask), _guarded(plugin.request_failed)
    answered = _guarded(plugin.request_answered)

    def llm_execution(*, next_call: Any, request: Any = None, **given: Any) -> Any:
        asked: RequestDecision | None = ask(**given) if callable(next_call) else None
        if asked is not None and asked.answer is not None:
            return asked.answer
        began_s = time.perf_counter()
        try:
            response = next_call(request)
        except BaseException:
            failed(asked, **given)
            raise
        answered(response, time.perf_counter() - began_s, **given)
        return response

    return llm_execution


class HermesPlugin(SessionHooks):
    """What Hermes calls. One process may serve several homes (a gateway with profiles): a kit for each.

    Args:
        home: Finds the Hermes home of the current call; None asks Hermes, then the environment.
        make: Makes the kit of a home; None reads its settings.
    """

    HOOKS = (
        "pre_tool_call",
        "post_tool_call",
        "pre_llm_call",
        "post_api_request",
        "post_auxiliary_call",
        "api_request_error",
        "on_session_start",
        "on_session_end",
        "on_skill_lifecycle",
        "subagent_start",
    )

    def __init__(
        self,
        home: Callable[[], Path] | None = None,
        make: Callable[[Path], Kit] | None = None,
    ) -> None:
        self.seam = Seam.REPORTS
        self.can_stop_requests = False
        self._home = home or hermes_home
        self._make = make or _make_kit
        self._kits: dict[Path, Kit] = {}
        self._lock = threading.Lock()

    def kit(self) -> Kit:
        """The kit of the current home."""
        home = self._home()
        kit = self._kits.get(home)
        if kit is None:
            with self._lock:
                kit = self._kits.get(home) or self._make(home)
                self._kits[home] = kit
        kit.recorder.seam = self.seam
        if not self.can_stop_requests:
            kit.recorder.caps = Caps.NO_WAY
        return kit

    # ------------------------------------------------------------- tool calls

    def enter(self, *, args: Any = None, **given: Any) -> CallUnderWay | None:
        """A call is about to run; None where it is not ours to follow, or is followed already."""
        key = _key(given)
        around = _within.get()
        if around is not None and around.is_again(key):
            return None
        call = self._begin(key, args, given)
        if call is None:
            self.kit().unplaced += 1
        elif call.refusal is None:
            call.inside = _within.set(call)
        return call

    def leave(
        self, call: CallUnderWay | None, *, result: Any = None, error: BaseException | None = None
    ) -> None:
        """The call came back: with a result, or with what Hermes lets pass to whoever asked."""
        if call is None:
            return
        if call.inside is not None:
            _within.reset(call.inside)
        self.kit().end(call, result=result, error=error)

    def mark(self, *, status: Any = None, **given: Any) -> None:
        """What the middleware cannot see: a call that was stopped before it, or abandoned within it."""
        if status in _MARKS:
            self.post_tool_call(status=status, **given)

    def pre_tool_call(self, *, args: Any = None, **given: Any) -> dict[str, str] | None:
        """Stop a call whose breaker is open, or that lacks evidence; else say nothing."""
        call = self._begin(_key(given), args, given)
        if call is None or call.refusal is None:
            return None
        return {"action": "block", "message": call.refusal}

    def post_tool_call(
        self,
        *,
        args: Any = None,
        result: Any = None,
        duration_ms: Any = None,
        status: Any = None,
        **given: Any,
    ) -> None:
        """Record what became of a call."""
        kit, key = self.kit(), _key(given)
        kit.told(
            key, lambda: self._caller(kit, given), args,
            result=result, status=text(status) or None, latency_ms=figure(duration_ms),
        )  # fmt: skip

    def _begin(self, key: CallKey, args: Any, given: dict[str, Any]) -> CallUnderWay | None:
        kit = self.kit()
        caller = self._caller(kit, given)
        if caller is None:
            return None
        return kit.begin(key, caller, args)

    def _delegating(self) -> str | None:
        around = _within.get()
        return None if around is None else around.caller.session

    def _caller(self, kit: Kit, given: dict[str, Any]) -> Caller | None:
        return kit.sessions.caller(
            text(given.get("session_id")), text(given.get("turn_id")), text(given.get("task_id")),
            beside=in_side_work(), within=_within.get(), here=session_here,
        )  # fmt: skip

    # ------------------------------------------------------ requests to models

    def llm_request(
        self, *, request: Any = None, session_id: str = "", **given: Any
    ) -> dict[str, Any] | None:
        """Put the published model into a request; only registered where that was switched on."""
        if not isinstance(request, dict) or in_side_work():
            return None
        where = route(given)
        local = is_local(where.base_url)
        model = self.kit().asking.choose_model(session_id, request, where, local=local)
        return None if model is None else {"request": {**request, "model": model}}

    def command(self, raw_args: str = "") -> str:
        """`/timmy` in the agent."""
        return slash_text(
            self.kit(), raw_args, now=time.time(), failures=failures, seam=self.seam.words
        )


def _key(given: dict[str, Any]) -> CallKey:
    session, call_id, tool = (
        text(given.get(name)) for name in ("session_id", "tool_call_id", "tool_name")
    )
    request = text(given.get("api_request_id")) or text(given.get("turn_id"))
    return CallKey(session, request, call_id, tool)


def _make_kit(home: Path) -> Kit:
    settings = kit_settings(home, Path(__file__).parent, os.environ)
    return Kit(home, settings, hermes=hermes_version(), tools=tools, shared=state_folder())
