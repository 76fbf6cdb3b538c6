"""`installed.json` in the folder of a kit: what the kit, `check` and an uninstallation need to know of it."""

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final, get_args

from timmyd.core.model import iso
from timmyd.house import KIT_VERSION
from timmyd.house.settings import GRACE_S, INSTALLED_FILE
from timmyd.service.hermes_config import Edit, Made, made_by
from timmyd.service.plain import open_plain

_LARGEST_BYTES: Final = 65_536

Record = Mapping[str, Any]
"""version, since (ISO 8601), upgraded_from (a version or None), made_plugins, made_config, edit."""


def read_record(folder: Path) -> Record | None:
    """The record in a folder; None: it is not ours."""
    return read_json(folder / INSTALLED_FILE)


def version_of(record: Record | None) -> str | None:
    """The version of the kit that a record stands beside; up to 0.1 it had another name."""
    known = record or {}
    found = known.get("version", known.get("kit"))
    return None if found is None else str(found)


def new_record(
    before: Record | None,
    edit: Edit | None,
    *,
    made_plugins: bool,
    made_config: bool,
    now: float,
) -> Record:
    """The record of an installation that happens now.

    An upgrade within a week of an earlier one counts from that one, so that the time in which new
    kinds of refusal are advice only neither ends early nor begins again.

    Args:
        before: The record that is there.
        edit: What goes into config.yaml now; None: what an earlier installation put there stays.
        made_plugins: The folder of plugins is made now.
        made_config: config.yaml is made now.
        now: Unix seconds.
    """
    known, old = before or {}, version_of(before)
    record: dict[str, Any] = {
        "version": KIT_VERSION,
        "since": iso(now),
        "upgraded_from": None if old == KIT_VERSION else old,
        "made_plugins": bool(known.get("made_plugins", made_plugins)),
    }
    if old == KIT_VERSION or (known.get("upgraded_from") and now < _since(known) + GRACE_S):
        record.update({key: known[key] for key in ("since", "upgraded_from") if key in known})
    if edit is not None:
        record["edit"] = {"offset": edit.offset, "text": edit.text.decode(), "made": edit.made}
        record["made_config"] = made_config
    else:
        record.update({key: known[key] for key in ("edit", "made_config") if key in known})
    return record


def edit_of(record: Record) -> Edit | None:
    """The edit that enabled the kit; None where there was none.

    A record that somebody damaged still says that there was one: what it made is told by what is left.
    """
    found = record.get("edit")
    if found is None:
        return None
    told = found if isinstance(found, dict) else {}
    text, offset = told.get("text"), told.get("offset")
    if not isinstance(text, str) or not isinstance(offset, int) or offset < 0:
        text, offset = "", 0
    known: dict[object, Made] = {one: one for one in get_args(Made)}
    return Edit(
        offset, text.encode("utf-8", "replace"), known.get(str(told.get("made"))) or made_by(text)
    )


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a small file; None: there is none."""
    try:
        with open_plain(path) as file:
            found = json.loads(file.read(_LARGEST_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def as_json(value: Record) -> bytes:
    """A small file for people, too."""
    return (json.dumps(value, indent=2) + "\n").encode()


def _since(record: Record) -> float:
    try:
        return datetime.fromisoformat(str(record.get("since"))).timestamp()
    except ValueError:
        return 0.0
