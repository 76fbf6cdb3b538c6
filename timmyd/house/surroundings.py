"""What a plugin can find out about the Hermes around it, without importing any of it."""

import contextvars
import os
import re
import sys
import threading
from collections.abc import Container
from contextlib import suppress
from pathlib import Path
from typing import Final

_SESSION: Final = "HERMES_SESSION_ID"
_REVIEW_THREAD: Final = "bg-review"
_SIDE_WORK: Final = frozenset({"background_review", "side_question"})
_CRON_SESSION: Final = re.compile(r"cron_(.+)_\d{8}_\d{6}")


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


def in_side_work() -> bool:
    """Whether this context is Hermes' own work beside a session, such as its background review.

    It speaks under its session's id but is in no transcript. Hooks may run on threads of their
    own, to which Hermes copies the context, so the name of a thread counts only while the module
    that knows the origin has not been loaded.
    """
    with suppress(Exception):
        provenance = sys.modules.get("tools.skill_provenance")
        if provenance is not None:
            return provenance.get_current_write_origin() in _SIDE_WORK
    return threading.current_thread().name.startswith(_REVIEW_THREAD)


def session_here() -> str:
    """The session of this context, for calls that name none; empty if Hermes does not say.

    The context variable is found by its name, since its module differs between versions.
    """
    for variable, value in contextvars.copy_context().items():
        if variable.name == _SESSION and isinstance(value, str):
            return value
    return ""


def cron_job(session_id: str) -> str | None:
    """The cron job that a session runs for; None where it runs for none."""
    with suppress(Exception):
        identity = sys.modules.get("cron.execution_identity")
        running = None if identity is None else identity.current_cron_execution()
        if running is not None:
            return str(running.job_id)
    found = _CRON_SESSION.fullmatch(session_id)
    return found[1] if found else None


def has_fallback() -> bool:
    """Whether Hermes has another provider to turn to by itself; yes, too, where it does not tell."""
    with suppress(Exception):
        config = sys.modules["hermes_cli.config"].load_config_readonly()
        return bool(config.get("fallback_providers") or config.get("fallback_model"))
    return True


def is_interrupted() -> bool:
    """Whether the user has asked the agent of this thread to stop."""
    with suppress(Exception):
        return bool(sys.modules["tools.interrupt"].is_interrupted())
    return False


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


def state_folder() -> Path:
    """Where what belongs to the user and to no home is kept."""
    named = os.environ.get("XDG_STATE_HOME", "")
    state = Path(named) if named.startswith("/") else Path.home() / ".local" / "state"
    return state / "timmyd"


def house_folder(house: str) -> Path:
    """Where a house that is not Hermes keeps its telemetry."""
    return state_folder() / "houses" / house
