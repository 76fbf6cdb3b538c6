"""The house kit: what a house asks, obeys and records. Standard library only, works copied alone.

As a Hermes plugin this folder lies in `<home>/plugins/timmy/` and Hermes calls `register`.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .harness import Harness, House, Mode
    from .reader import Policies

__all__ = ["KIT_VERSION", "Harness", "House", "Mode", "Policies", "register"]


def _version() -> str:
    """The version of the kit and of timmyd; `plugin.yaml` is the one place that says it."""
    try:
        with Path(__file__).with_name("plugin.yaml").open(encoding="utf-8") as file:
            return next(line[8:].strip() for line in file if line.startswith("version:"))
    except (OSError, ValueError, StopIteration):
        return "unknown"


KIT_VERSION = _version()

_HOMES = {"Harness": "harness", "House": "harness", "Mode": "harness", "Policies": "reader"}


def register(ctx: Any) -> None:
    """What Hermes calls once, when it loads the plugin.

    A kit that cannot even be imported raises `ImportError` or the like here, never what would end
    the process, and Hermes goes on without it and says so.
    """
    try:
        from .hermes import register as attach  # noqa: PLC0415 - a house without Hermes needs none
    except Exception:
        raise
    except BaseException as error:
        raise ImportError(name=__name__) from error
    attach(ctx)


def __getattr__(name: str) -> Any:
    """Import an exported name from its module on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(name)
    from importlib import import_module  # noqa: PLC0415 - the point is to import late

    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
