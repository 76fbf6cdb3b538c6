"""How a house kit in a Hermes home is set: its own small file, the environment, the home's path."""

import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from .keys import FALLBACK_HOUSE, is_house
from .units import DAY_S

SETTINGS_FILE = "settings.json"
INSTALLED_FILE = "installed.json"
GRACE_S = 7 * 86_400.0
"""For how long a kit that took the place of a 0.1 only advises what 0.1 did not refuse."""
MODES = ("simple", "intelligent", "sovereign")
DEFAULT_MODE = "intelligent"
KEEP_DAYS = 14.0
_LARGEST_BYTES = 65_536
_OLD = re.compile(r"0\.[01](\D|$)")
_PROFILE = re.compile(r".*/profiles/([a-z0-9_-]{1,32})/?")


class KitSettings(NamedTuple):
    """The settings of one house kit.

    Attributes:
        house: Its name.
        mode: `simple` records; `intelligent` also obeys; `sovereign` obeys only a policy of
            this machine and chooses only models that run on it.
        choose_model: Let the published model replace the configured one, request by request.
        keep_s: Seconds after which its own old telemetry is removed.
        grace_until: Unix seconds until which refusals that 0.1 did not know are advice only; None: they count.
    """

    house: str
    mode: str = DEFAULT_MODE
    choose_model: bool = False
    keep_s: float = KEEP_DAYS * DAY_S
    grace_until: float | None = None


def house_of(home: Path) -> str:
    """The house of a Hermes home: the name of its profile, else timmy (CONTRACT §1)."""
    found = _PROFILE.fullmatch(home.as_posix())
    return found[1] if found else FALLBACK_HOUSE


def kit_settings(home: Path, folder: Path, environment: Mapping[str, str]) -> KitSettings:
    """Read the settings of the kit; whatever makes no sense keeps its default.

    The environment (`TIMMY_HOUSE`, `TIMMY_MODE`, `TIMMY_CHOOSE_MODEL`) wins over the
    `settings.json` in the kit's own folder, which counts only for the home it lies in.
    """
    ours = folder.is_relative_to(home)
    found = _file(folder / SETTINGS_FILE) if ours else {}
    house = environment.get("TIMMY_HOUSE") or found.get("house")
    mode = environment.get("TIMMY_MODE") or found.get("mode")
    choose = environment.get("TIMMY_CHOOSE_MODEL") or found.get("choose_model")
    days = found.get("keep_days")
    sane = isinstance(days, (int, float)) and not isinstance(days, bool) and days > 0
    return KitSettings(
        house=str(house) if is_house(house) else house_of(home),
        mode=str(mode) if mode in MODES else DEFAULT_MODE,
        choose_model=choose in (True, "1", "true", "yes", "on"),
        keep_s=(float(days) if sane and days is not None else KEEP_DAYS) * DAY_S,
        grace_until=grace_until(folder) if ours else None,
    )


def grace_until(folder: Path) -> float | None:
    """Until when new kinds of refusal are advice only, by the record that the installation left.

    Args:
        folder: The kit's own; `installed.json` there has `upgraded_from`, the version it took the
            place of, and `since`, when that was: Unix seconds, or ISO 8601 with an offset.

    Returns:
        Unix seconds; None for a fresh installation and an upgrade from 0.2 or later.
    """
    found = _file(folder / INSTALLED_FILE)
    before = found.get("upgraded_from")
    if not isinstance(before, str) or not _OLD.match(before):
        return None
    since = found.get("since")
    if isinstance(since, str):
        with suppress(ValueError, OverflowError):
            since = datetime.fromisoformat(since).timestamp()
    if isinstance(since, (int, float)) and not isinstance(since, bool):
        return float(since) + GRACE_S
    with suppress(OSError):
        return (folder / INSTALLED_FILE).stat().st_mtime + GRACE_S
    return None


def _file(path: Path) -> Mapping[str, Any]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            found = json.loads(os.read(fd, _LARGEST_BYTES))
        finally:
            os.close(fd)
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
