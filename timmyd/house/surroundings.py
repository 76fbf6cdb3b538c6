"""What a plugin can find out about the Hermes around it, without importing any of it."""

import os
import sys
import threading
from collections.abc import Container
from contextlib import suppress
from pathlib import Path

_REVIEW_THREAD = "bg-review"


def hermes_home() -> Path:
    """The home as Hermes sees it now (a gateway changes it call by call), else by the environment."""
    constants = sys.modules.get("hermes_constants")
    if constants is not None:
        with suppress(Exception):
            return Path(constants.get_hermes_home())
    named = os.environ.get("HERMES_HOME")
    return Path(named) if named else Path.home() / ".hermes"


def hermes_version() -> str | None:
    """The version of Hermes, None if it does not say."""
    version = getattr(sys.modules.get("hermes_cli"), "__version__", None)
    return version if isinstance(version, str) else None


def tools() -> Container[str] | None:
    """The names of the tools that this agent has, as far as Hermes tells."""
    with suppress(Exception):
        registry = getattr(sys.modules.get("tools.registry"), "registry", None)
        names = None if registry is None else registry.get_all_tool_names()
        return frozenset(names) if names else None
    return None


def in_review() -> bool:
    """Whether this thread is Hermes' background review, which speaks under its parent's session."""
    return threading.current_thread().name.startswith(_REVIEW_THREAD)


def is_local(base_url: str) -> bool:
    """Whether a model's address is on this machine."""
    from ipaddress import ip_address  # noqa: PLC0415 - only where model choice is switched on
    from urllib.parse import urlsplit  # noqa: PLC0415

    host = urlsplit(base_url or "").hostname or ""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
