"""Put the house kit into a Hermes home, and take it out without a trace."""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from timmyd.house import KIT_VERSION
from timmyd.house.keys import is_house
from timmyd.house.settings import (
    INSTALLED_FILE,
    MODES,
    SETTINGS_FILE,
    KitSettings,
    kit_settings,
)
from timmyd.service.hermes_config import (
    ConfigLayoutError,
    Edit,
    enabling,
    traces,
    undoing,
)
from timmyd.service.hermes_version import hermes_version, numbers
from timmyd.service.kit_files import (
    CONFIG,
    ConfigFile,
    KitError,
    alone,
    clear_left_overs,
    place_of,
    read_config,
    remove_folder,
    replace_folder,
    restore_folder,
    write_config,
)
from timmyd.service.kit_record import (
    Record,
    as_json,
    edit_of,
    new_record,
    read_json,
    read_record,
    version_of,
)
from timmyd.service.kit_status import PLUGIN, KitStatus, kit_files, kit_folder, status
from timmyd.service.privilege import as_owner

_LEAST_HERMES: Final = (0, 13)


@dataclass(frozen=True, slots=True)
class InstallPlan:
    """What an installation would do in `home`; show `changes`, then hand it to `install`.

    Attributes:
        settings: House and mode of the kit.
        hermes: Version of Hermes, None if it was not found.
        edit: What goes into config.yaml; None if it stays as it is.
        config: The config.yaml that the edit is meant for.
        changes: One sentence each, for the user.
    """

    home: Path
    settings: KitSettings
    hermes: str | None
    edit: Edit | None
    config: ConfigFile
    changes: tuple[str, ...]


def plan_install(
    home: Path,
    *,
    house: str | None = None,
    mode: str | None = None,
    path: str | None = None,
    leave_config: bool = False,
) -> InstallPlan:
    """Find out what putting the kit into a home would change; changes nothing.

    Args:
        home: The Hermes home, or one of its profiles.
        house: Name of the house; None keeps what is set, else the profile's name.
        mode: simple, intelligent or sovereign; None keeps what is set.
        path: Where to look for the `hermes` command; None: `$PATH`.
        leave_config: Do not look into config.yaml: the user enables the plugin.

    Raises:
        KitError: There is no such home, another plugin of this name is in it, its config.yaml
            cannot be read, or Hermes is too old.
        ConfigLayoutError: Its config.yaml is beyond a careful edit.
    """
    if not home.is_dir():
        raise KitError(home, "is no directory", "start Hermes once, or name the right --home")
    if house is not None and not is_house(house):
        raise KitError(home, "that is no house name", "use 1 to 32 of a-z 0-9 _ -")
    if mode is not None and mode not in MODES:
        raise KitError(home, "that is no mode", f"use one of {', '.join(MODES)}")
    hermes = hermes_version(home, path)
    if hermes is not None and numbers(hermes) < _LEAST_HERMES:
        raise KitError(
            home, f"Hermes {hermes} has no plugins", "the kit needs Hermes 0.13 or later"
        )
    with as_owner(home):
        before = _own_record(home, "move it away first")
        known = kit_settings(home, place_of(home, kit_folder(home)), {})
        settings = known._replace(house=house or known.house, mode=mode or known.mode)
        config = ConfigFile(None) if leave_config else read_config(home)
        edit = None if leave_config else enabling(config.data or b"", PLUGIN)
    changes = tuple(_changes(home, settings, edit, config, before))
    if leave_config:
        changes = (*changes, "enable it afterwards: hermes plugins enable timmy")
    return InstallPlan(home, settings, hermes, edit, config, changes)


def install(plan: InstallPlan, *, now: float) -> KitStatus:
    """Do what a plan says: put the folder there whole, then enable it.

    Args:
        plan: What to do.
        now: Unix seconds.

    Raises:
        KitError: config.yaml changed since the plan was made, or another installation is at work;
            nothing was done.
        OSError: The disk refused; what was done is undone.
    """
    home, folder = plan.home, kit_folder(plan.home)
    with as_owner(home), alone(home):
        if plan.edit is not None and read_config(home) != plan.config:
            raise KitError(home, f"{CONFIG} has just changed", "run the command again")
        clear_left_overs(home, folder)
        before, made_plugins = read_record(folder), not folder.parent.exists()
        made_config = plan.config.data is None
        record = new_record(
            before, plan.edit, made_plugins=made_plugins, made_config=made_config, now=now
        )
        try:
            folder.parent.mkdir(exist_ok=True)
            replace_folder(
                home,
                folder,
                {**kit_files(), SETTINGS_FILE: _settings(plan), INSTALLED_FILE: as_json(record)},
            )
            if plan.edit is not None:
                data = plan.config.data
                write_config(home, plan.edit.apply(data or b""), before=data)
        except BaseException:
            restore_folder(home, folder, existed=before is not None)
            if made_plugins:
                with suppress(OSError):
                    folder.parent.rmdir()
            raise
        clear_left_overs(home, folder)
    return status(home)


def uninstall(home: Path) -> tuple[str, ...]:
    """Take the kit out: config.yaml gets its own bytes back, the folder goes.

    The telemetry stays: it is the daemon's evidence, and the daemon may not have read it yet.

    Returns:
        What was done and what could not be, a sentence each; empty if there was nothing to undo.

    Raises:
        KitError: The plugin there is not ours.
    """
    folder = kit_folder(home)
    if not home.is_dir():
        return ()
    with as_owner(home), alone(home):
        if not place_of(home, folder).exists():
            return tuple(_unedit(home, {}))
        clear_left_overs(home, folder)
        record = _own_record(home, "remove it yourself") or {}
        done = [*_unedit(home, record)]
        remove_folder(home, folder)
        done.append(f"removed {folder}")
        if record.get("made_plugins"):
            with suppress(OSError):
                folder.parent.rmdir()
    return tuple(done)


def _own_record(home: Path, hint: str) -> Record | None:
    """The record of an installation of ours; None where nothing is there."""
    folder = kit_folder(home)
    record = read_record(folder)
    if os.path.lexists(plugins := folder.parent) and not plugins.is_dir():
        raise KitError(home, f"{plugins} is no folder", "move it away first")
    if folder.is_symlink():
        raise KitError(home, f"{folder} is a link", hint)
    if folder.exists() and record is None:
        raise KitError(home, f"{folder} was not put there by timmyd", hint)
    return record


def _changes(
    home: Path,
    settings: KitSettings,
    edit: Edit | None,
    config: ConfigFile,
    before: Record | None,
) -> Iterator[str]:
    old = version_of(before)
    instead = f" in place of {old}" if old not in {None, KIT_VERSION} else ""
    yield f"copy the house kit {KIT_VERSION} to {kit_folder(home)}{instead}"
    yield f"set it to house {settings.house}, mode {settings.mode}"
    if edit is not None:
        verb = "create" if config.data is None else "add to"
        lines = " / ".join(edit.text.decode().strip(" \r\n,#").splitlines())
        what = f"{PLUGIN}, in the list plugins.enabled" if edit.made == "item" else lines
        yield f"{verb} {home / CONFIG}: {what}"
        if config.names > 1:
            yield f"{CONFIG} has {config.names} names (hard links): the others keep the old text"


def _settings(plan: InstallPlan) -> bytes:
    """The settings of the kit: what is set already, with the house and the mode of the plan."""
    known = read_json(kit_folder(plan.home) / SETTINGS_FILE) or {}
    return as_json({**known, "house": plan.settings.house, "mode": plan.settings.mode})


def _unedit(home: Path, record: Record) -> Iterator[str]:
    """Take out of config.yaml what the installation put in, and say what stays."""
    edit = edit_of(record)
    try:
        config = read_config(home).data
        if config is None:
            return
        after = config if edit is None else undoing(config, edit, PLUGIN)
        if record.get("made_config") and not after.strip():
            (home / CONFIG).unlink()
            yield f"removed {home / CONFIG}"
            return
        if after != config:
            write_config(home, after, before=config)
            yield f"took {PLUGIN} out of {home / CONFIG}"
        for place in traces(after, PLUGIN):
            yield f"{home / CONFIG} still names {PLUGIN}: {place}"
    except (ConfigLayoutError, KitError) as error:
        yield f"left {home / CONFIG} as it is ({error.sentence}): take {PLUGIN} out yourself"
