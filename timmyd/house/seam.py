"""How the kit takes part in the tool calls of the Hermes around it, and in its requests: by what is there, not by version.

From 0.21 on Hermes runs hooks behind a latch: a `pre_tool_call` that is asked again while it still
runs refuses the call, whatever it would have said. Middleware has no latch, sees the calls inside
`execute_code`, and fails open.
"""

import os
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, Final

TOOL_EXECUTION: Final = "tool_execution"
LLM_EXECUTION: Final = "llm_execution"
_PRE: Final = "pre_tool_call"


class Seam(StrEnum):
    """Where the kit meets a tool call, best first.

    `MIDDLEWARE` wraps it; `HOOKS` are asked before and told after it; `REPORTS` only tell after it.
    """

    MIDDLEWARE = "middleware"
    HOOKS = "hooks"
    REPORTS = "reports"

    @property
    def words(self) -> str:
        """What it means, for people."""
        return _WORDS[self]


_WORDS: Final = {
    Seam.MIDDLEWARE: "wraps every tool call, also those inside scripts (tool_execution middleware)",
    Seam.HOOKS: "is asked before and told after every tool call (hooks)",
    Seam.REPORTS: (
        "is only told after tool calls, so it refuses none and misses those inside scripts "
        "(this Hermes would refuse calls by itself if it were asked before them)"
    ),
}


class Caps(StrEnum):
    """Whether a cap can stop a request to a model here, or why it cannot."""

    HELD = "held"
    NO_WAY = "no_way"
    UNKNOWN_MODE = "unknown_mode"

    @property
    def words(self) -> str:
        """What it means, for people."""
        return _CAPS_WORDS[self]


_CAPS_WORDS: Final = {
    Caps.HELD: "held here",
    Caps.NO_WAY: "not held here: this Hermes lets no plugin stop a request to a model",
    Caps.UNKNOWN_MODE: "not held here: no answer of ours is known to fit this provider's api mode",
}


def caps_of(word: object) -> Caps | None:
    """What a word in the telemetry says of caps; None for a kit that did not say."""
    return Caps(word) if isinstance(word, str) and word in set(Caps) else None


def wraps_requests(ctx: Any, modules: Mapping[str, Any]) -> bool:
    """Whether this Hermes lets a plugin stand around requests to models; the arguments are those of `seams`."""
    return not _is_elsewhere(modules) and _has(ctx, modules, LLM_EXECUTION)


def _has(ctx: Any, modules: Mapping[str, Any], middleware: str) -> bool:
    kinds = getattr(modules.get("hermes_cli.middleware"), "VALID_MIDDLEWARE", ())
    return middleware in kinds and callable(getattr(ctx, "register_middleware", None))


def seam_of(word: object) -> Seam | None:
    """The seam of a word in a telemetry header; None for a kit that did not say."""
    return Seam(word) if isinstance(word, str) and word in set(Seam) else None


def seams(ctx: Any, modules: Mapping[str, Any]) -> Iterator[Seam]:
    """The seams that this Hermes offers, best first; the last one is always there.

    Args:
        ctx: What Hermes handed to `register`.
        modules: `sys.modules`; nothing of Hermes is imported to find out.
    """
    if not _is_elsewhere(modules):
        if _has(ctx, modules, TOOL_EXECUTION):
            yield Seam.MIDDLEWARE
        dispatch = modules.get("hermes_cli.plugins_dispatch")
        if _PRE not in getattr(dispatch, "_HOOK_TIMEOUT_FAIL_CLOSED_HOOKS", ()):
            yield Seam.HOOKS
    yield Seam.REPORTS


def _is_elsewhere(modules: Mapping[str, Any]) -> bool:
    """Whether the agent runs in another process (`plugins.isolation: host`), which shows nothing of its own here.

    There a middleware cannot call what it wraps, and a hook before the call still fails closed.
    """
    if os.environ.get("HERMES_PLUGIN_HOST_PROCESS") == "1":
        return True
    return "hermes_cli" in modules and "hermes_cli.plugins" not in modules
