"""A Hermes plugin for tests that does all that another plugin may do to the calls beside ours."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any


def register(ctx: Any) -> None:
    """Called by Hermes when it loads the plugin."""
    ctx.register_hook("pre_tool_call", _before)
    ctx.register_hook("post_tool_call", _broken)
    with suppress(AttributeError):
        ctx.register_middleware("tool_execution", _around)


def _number(args: Any) -> str:
    path = args.get("path") if isinstance(args, dict) else None
    return str(path).rpartition("/f")[2].removesuffix(".txt")


def _before(args: Any = None, **_: Any) -> dict[str, str] | None:
    return {"action": "block", "message": "not this one"} if _number(args) == "3" else None


def _broken(**_: Any) -> None:
    raise RuntimeError


def _around(*, args: Any, next_call: Callable[[Any], Any], **_: Any) -> Any:
    number = _number(args)
    if number == "4":
        raise RuntimeError
    if number == "5":
        args = {**args, "limit": 1}
    result = next_call(args)
    if number == "7":
        raise RuntimeError
    return result
