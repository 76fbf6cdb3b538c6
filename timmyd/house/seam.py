"""How the kit takes part in the tool calls of the Hermes around it: chosen by what is there, not by version.

From 0.21 on Hermes runs hooks behind a latch: a `pre_tool_call` that is asked again while it still
runs refuses the call, whatever it would have said. Middleware has no latch, sees the calls inside
`execute_code`, and fails open.
"""

import os
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, Final

TOOL_EXECUTION: Final = "tool_execution"
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
        kinds = getattr(modules.get("hermes_cli.middleware"), "VALID_MIDDLEWARE", ())
        if TOOL_EXECUTION in kinds and callable(getattr(ctx, "register_middleware", None)):
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
