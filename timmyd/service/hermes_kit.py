"""Put the house kit into a Hermes home, say how it is there, and take it out without a trace."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from timmyd.house import KIT_VERSION
from timmyd.house.keys import is_house
from timmyd.house.settings import MODES, SETTINGS_FILE, KitSettings, kit_settings
from timmyd.service.hermes_config import (
    ConfigLayoutError,
    Edit,
    enabling,
    is_enabled,
    traces,
    undoing,
)
from timmyd.service.hermes_version import hermes_version, numbers
from timmyd.service.kit_files import (
    CONFIG,
    ConfigFile,
    KitError,
    alone,
    as_owner,
    clear_left_overs,
    place_of,
    read_config,
    remove_folder,
    replace_folder,
    restore_folder,
    write_config,
)
from timmyd.service.kit_record import (
    RECORD,
    Record,
    as_json,
    edit_of,
    new_record,
    read_json,
    read_record,
    version_of,
)
from timmyd.service.kit_telemetry import Written, written

PLUGIN: Final = "timmy"
_SOURCE: Final = Path(__file__).parent.parent / "house"
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


@dataclass(frozen=True, slots=True)
class KitStatus:
    """How the kit is in one Hermes home.

    Attributes:
        kit: Version of the kit there; None: not installed.
        current: It is the version of this timmyd.
        enabled: Hermes loads it; None: config.yaml cannot be read with certainty.
        hermes: Version of Hermes, None if it was not found.
        trouble: Why config.yaml cannot be read; empty where it can.
        since: When this version came here, ISO 8601; None for a kit of 0.1.
        upgraded_from: The version that it took the place of.
        written: What it has written.
    """

    home: Path
    house: str
    mode: str
    kit: str | None
    current: bool
    enabled: bool | None
    hermes: str | None
    trouble: str = ""
    since: str | None = None
    upgraded_from: str | None = None
    written: Written = field(default_factory=Written)


def homes(root: Path) -> list[Path]:
    """The Hermes home `root` and those of its profiles, each with settings of its own."""
    found = [root] if root.is_dir() else []
    with suppress(OSError):
        found += sorted(path for path in (root / "profiles").iterdir() if path.is_dir())
    return found


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
        known = kit_settings(home, place_of(home, _folder(home)), {})
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
    home, folder = plan.home, _folder(plan.home)
    kit = {
        source.name: source.read_bytes()
        for source in sorted(_SOURCE.iterdir())
        if source.suffix in {".py", ".yaml"}
    }
    with as_owner(home), alone(home):
        if plan.edit is not None and read_config(home) != plan.config:
            raise KitError(home, "config.yaml has just changed", "run the command again")
        clear_left_overs(home, folder)
        before, made_plugins = read_record(folder), not folder.parent.exists()
        made_config = plan.config.data is None
        record = new_record(
            before, plan.edit, made_plugins=made_plugins, made_config=made_config, now=now
        )
        try:
            folder.parent.mkdir(exist_ok=True)
            replace_folder(
                home, folder, {**kit, SETTINGS_FILE: _settings(plan), RECORD: as_json(record)}
            )
            if plan.edit is not None:
                write_config(home, plan.edit.apply(plan.config.data or b""))
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
    folder = _folder(home)
    if not home.is_dir() or not folder.exists():
        return ()
    with as_owner(home), alone(home):
        record = _own_record(home, "remove it yourself") or {}
        done = [*_unedit(home, record)]
        remove_folder(home, folder)
        done.append(f"removed {folder}")
        if record.get("made_plugins"):
            with suppress(OSError):
                folder.parent.rmdir()
    return tuple(done)


def status(home: Path, *, path: str | None = None) -> KitStatus:
    """How the kit is in a home; reads only."""
    folder = _folder(home)
    hermes = hermes_version(home, path)
    with as_owner(home):
        record = read_record(folder) or {}
        settings = kit_settings(home, folder, {})
        enabled, trouble = None, ""
        try:
            enabled = is_enabled(read_config(home).data or b"", PLUGIN)
        except (ConfigLayoutError, KitError) as error:
            trouble = error.sentence
        found = written(home)
    kit = version_of(record)
    return KitStatus(
        home=home, house=settings.house, mode=settings.mode, kit=kit, current=kit == KIT_VERSION,
        enabled=enabled, trouble=trouble, hermes=hermes, since=record.get("since"),
        upgraded_from=record.get("upgraded_from"), written=found,
    )  # fmt: skip


def _folder(home: Path) -> Path:
    return home / "plugins" / PLUGIN


def _own_record(home: Path, hint: str) -> Record | None:
    """The record of an installation of ours; None where nothing is there."""
    folder = _folder(home)
    record = read_record(folder)
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
    yield f"copy the house kit {KIT_VERSION} to {_folder(home)}{instead}"
    yield f"set it to house {settings.house}, mode {settings.mode}"
    if edit is not None:
        verb = "create" if config.data is None else "add to"
        lines = " / ".join(edit.text.decode().strip().splitlines())
        yield f"{verb} {home / CONFIG}: {lines}"
        if config.names > 1:
            yield f"{CONFIG} has {config.names} names (hard links): the others keep the old text"


def _settings(plan: InstallPlan) -> bytes:
    """The settings of the kit: what is set already, with the house and the mode of the plan."""
    known = read_json(_folder(plan.home) / SETTINGS_FILE) or {}
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
            write_config(home, after)
            yield f"took {PLUGIN} out of {home / CONFIG}"
        for place in traces(after, PLUGIN):
            yield f"{home / CONFIG} still names {PLUGIN}: {place}"
    except (ConfigLayoutError, KitError) as error:
        yield f"left {home / CONFIG} as it is ({error.sentence}): take {PLUGIN} out yourself"
