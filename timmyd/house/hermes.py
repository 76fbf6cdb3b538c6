"""The Hermes plugin: the agent's hooks, each wrapped so that nothing of ours can reach the agent.

Works on every Hermes with plugins; what a version does not report is left out. Before 0.17 there
are no turn ids, no parent of a subagent, no failed requests, and no report after a tool that the
agent loop runs itself (todo, memory, delegate_task and the like).
"""

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any

from .kit import Kit
from .settings import kit_settings
from .surroundings import hermes_home, hermes_version, in_review, is_local, tools

_TIMEOUTS = ("timeout", "timed out")

failures = 0
"""How often something of ours went wrong in this process; shown by /timmy."""


def _guarded(hook: Callable[..., Any]) -> Callable[..., Any]:
    """Let nothing of ours reach the agent: whatever goes wrong counts as having said nothing."""

    @wraps(hook)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        global failures  # noqa: PLW0603 - one figure a process
        try:
            return hook(*args, **kwargs)
        except Exception:  # noqa: BLE001 - the agent comes first
            failures += 1
            return None

    return guarded


def register(ctx: Any, plugin: "HermesPlugin | None" = None) -> None:
    """Hook into an agent. Never raises; a hook that this Hermes refuses is left out."""
    with suppress(Exception):
        _register(ctx, plugin or HermesPlugin())


def _register(ctx: Any, plugin: "HermesPlugin") -> None:
    for name in plugin.HOOKS:
        with suppress(Exception):
            ctx.register_hook(name, _guarded(getattr(plugin, name)))
    with suppress(Exception):
        ctx.register_command("timmy", _guarded(plugin.command), description=_DESCRIPTION)
    with suppress(Exception):
        if plugin.kit().settings.choose_model:
            ctx.register_middleware("llm_request", _guarded(plugin.llm_request))


_DESCRIPTION = "What timmy sees: open breakers, what was learned, the policy in force"


class HermesPlugin:
    """The hooks. One process may serve several homes (a gateway with profiles): a kit for each.

    Args:
        home: Finds the Hermes home of the current call; None asks Hermes, then the environment.
        make: Makes the kit of a home; None reads its settings.
    """

    HOOKS = (
        "pre_tool_call",
        "post_tool_call",
        "pre_llm_call",
        "post_api_request",
        "api_request_error",
        "on_session_start",
        "on_session_end",
        "subagent_start",
    )

    def __init__(
        self,
        home: Callable[[], Path] | None = None,
        make: Callable[[Path], Kit] | None = None,
    ) -> None:
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
        return kit

    def pre_tool_call(
        self,
        *,
        tool_name: str = "",
        args: Any = None,
        session_id: str = "",
        turn_id: str = "",
        task_id: str = "",
        tool_call_id: str = "",
        **_: Any,
    ) -> dict[str, str] | None:
        """Stop a call whose breaker is open, or that lacks evidence; else say nothing."""
        kit = self.kit()
        caller = kit.caller(session_id or "", turn_id or "", task_id or "", review=in_review())
        if caller is None:
            return None
        message = kit.before(caller, tool_name, args, tool_call_id or "", task_id or "")
        return None if message is None else {"action": "block", "message": message}

    def post_tool_call(
        self,
        *,
        tool_name: str = "",
        args: Any = None,
        result: Any = None,
        session_id: str = "",
        turn_id: str = "",
        task_id: str = "",
        tool_call_id: str = "",
        duration_ms: float | None = None,
        status: str | None = None,
        **_: Any,
    ) -> None:
        """Record what became of a call."""
        kit = self.kit()
        caller = kit.caller(session_id or "", turn_id or "", task_id or "", review=in_review())
        if caller is not None:
            kit.after(
                caller, tool_name, args, tool_call_id or "", task_id or "",
                result=result, status=status or None, latency_ms=_figure(duration_ms),
            )  # fmt: skip

    def pre_llm_call(
        self,
        *,
        session_id: str = "",
        turn_id: str = "",
        task_id: str = "",
        model: str = "",
        platform: str = "",
        **_: Any,
    ) -> dict[str, str] | None:
        """A turn begins: note it, and give the model a few lines of advice if there is any."""
        kit, review = self.kit(), in_review()
        kit.recorder.about(session_id, platform=platform or None)
        kit.begin_turn(session_id, turn_id or "", task_id or "", model=model or None, review=review)
        advice = None if review else kit.advice(session_id)
        return None if advice is None else {"context": advice}

    def post_api_request(
        self,
        *,
        session_id: str = "",
        model: str = "",
        provider: str = "",
        api_duration: float | None = None,
        usage: Any = None,
        **_: Any,
    ) -> None:
        """Record a request to the model that was answered."""
        used = usage if isinstance(usage, dict) else {}
        tokens_in = used.get("input_tokens", used.get("prompt_tokens"))
        self._model_line(
            session_id,
            "ok",
            model=model,
            provider=provider,
            duration_s=api_duration,
            tokens_in=_count(tokens_in),
            tokens_out=_count(used.get("output_tokens", used.get("completion_tokens"))),
        )

    def api_request_error(
        self,
        *,
        session_id: str = "",
        model: str = "",
        provider: str = "",
        api_duration: float | None = None,
        reason: Any = None,
        error: Any = None,
        **_: Any,
    ) -> None:
        """Record a request to the model that failed; its words are looked at and dropped."""
        kind = error.get("type") if isinstance(error, dict) else None
        words = f"{reason} {kind}".lower()
        outcome = "timeout" if any(word in words for word in _TIMEOUTS) else "error"
        self._model_line(
            session_id, outcome, model=model, provider=provider, duration_s=api_duration
        )

    def on_session_start(self, *, session_id: str = "", platform: str = "", **_: Any) -> None:
        """A new session: remember where it runs."""
        self.kit().recorder.about(session_id, platform=platform or None)

    def on_session_end(
        self, *, session_id: str = "", completed: Any = None, interrupted: Any = None, **_: Any
    ) -> None:
        """A turn is over; the turn of a background review is none of the session's."""
        if not in_review():
            self.kit().recorder.end(
                session_id, completed=bool(completed), interrupted=bool(interrupted)
            )

    def subagent_start(
        self, *, parent_session_id: str = "", child_session_id: str = "", **_: Any
    ) -> None:
        """A subagent starts: its session has a parent."""
        if child_session_id:
            self.kit().recorder.about(child_session_id, parent=parent_session_id or None)

    def llm_request(
        self, *, request: Any = None, session_id: str = "", base_url: str = "", **_: Any
    ) -> dict[str, Any] | None:
        """Put the published model into a request; only registered where that was switched on."""
        if not isinstance(request, dict) or in_review():
            return None
        model = self.kit().choose_model(session_id, request, local=is_local(base_url))
        return None if model is None else {"request": {**request, "model": model}}

    def command(self, raw_args: str = "") -> str:
        """`/timmy` in the agent."""
        from .slash import text as slash_text  # noqa: PLC0415 - seldom asked for

        return slash_text(self.kit(), raw_args, now=time.time(), failures=failures)

    def _model_line(
        self,
        session_id: str,
        outcome: str,
        *,
        model: str,
        provider: str,
        duration_s: float | None,
        tokens_in: int | None = None,
        tokens_out: int | None = None,
    ) -> None:
        if not session_id:
            return
        kit, review = self.kit(), in_review()
        state = kit.session(session_id)
        if model and not review:
            state.model = model
        seconds = _figure(duration_s)
        asked = (None if review else state.drawn) or model or None
        kit.count_model(session_id, asked, outcome)
        kit.recorder.model(
            session_id,
            model=asked,
            provider=provider or None,
            outcome=outcome,
            latency_ms=None if seconds is None else round(seconds * 1000.0, 1),
            tokens_in=tokens_in,
            tokens_out=tokens_out,
        )


def _make_kit(home: Path) -> Kit:
    settings = kit_settings(home, Path(__file__).parent, os.environ)
    return Kit(home, settings, hermes=hermes_version(), tools=tools)


def _figure(value: Any) -> float | None:
    sane = isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0
    return float(value) if sane and value < float("inf") else None


def _count(value: Any) -> int | None:
    figure = _figure(value)
    return None if figure is None else int(figure)
