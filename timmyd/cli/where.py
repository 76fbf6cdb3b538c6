"""Where things are for a command: the settings in force, the state, the engine over it, the homes."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from timmyd.cli.output import UsageError
from timmyd.config import Settings, database_path, default_paths, load, state_dir
from timmyd.config.places import SERVICE_FOLDER, SERVICE_STATE
from timmyd.engine import IntelligenceEngine
from timmyd.errors import ConfigError, Problem
from timmyd.house.keys import FALLBACK_HOUSE, is_house
from timmyd.service.homes import Place
from timmyd.service.privilege import become_owner, user_name
from timmyd.store.database import PatternDatabase


@dataclass(frozen=True)
class Context:
    """The settings in force and where the state is."""

    settings: Settings
    state: Path
    paths: tuple[Path, ...]

    @property
    def database(self) -> Path:
        """The database file."""
        return database_path(self.state)


def context(config: Path | None, state: Path | None, *, stay_root: bool = False) -> Context:
    """Load the settings; from then on root acts as the owner of the state (`service.privilege`).

    Args:
        config: The file that the operator named, if any.
        state: The directory that the operator named, if any.
        stay_root: The command needs root for more than the state, and minds the state itself.

    Raises:
        ConfigError: They have problems, or the file that was named does not exist.
    """
    paths = settings_paths(config)
    found = Context(load(paths), state_of(state), tuple(paths))
    if not stay_root:
        become_owner(found.state)
    return found


def state_of(state: Path | None) -> Path:
    """The state directory: the one named, or that of the service or the user."""
    return state_dir(os.environ) if state is None else state.absolute()


def settings_paths(config: Path | None) -> list[Path]:
    """The settings files to read: the one named, or those of the service or the user.

    Raises:
        ConfigError: The file that was named does not exist.
    """
    if config is not None:
        if not config.exists():
            raise ConfigError([Problem(str(config), "expected a settings file, found nothing")])
        return [config]
    return default_paths(os.environ, service=is_service())


def is_service() -> bool:
    """Whether this process is, or belongs to, the system service."""
    return "STATE_DIRECTORY" in os.environ and SERVICE_FOLDER.exists()


def not_the_operator(state: Path, *, service: Path = SERVICE_STATE) -> str | None:
    """Why this user may give no orders there, and who may; None for the operator.

    A state is whose its database is: a directory alone may be a house's own, whose daemon is another's.
    """
    uid = os.geteuid()
    owner = _owner(database_path(state).parent)
    if owner is None and (folder := _owner(state)) != uid:
        owner = folder
    if owner == uid or (owner is None and _owner(service) in {None, uid}):
        return None
    operator = "root" if owner is None or state == service else user_name(owner)
    if owner is None:
        where = f"none is yours, and the operator of this machine's ({service}) is {operator}"
    else:
        where = f"the operator of {state} is {operator}"
    way = "run it with sudo" if operator == "root" else f"run it as {operator}"
    return f"{user_name(uid)} may not give orders to timmyd here: {where}\n  hint: {way}"


def _owner(folder: Path) -> int | None:
    try:
        return folder.stat().st_uid
    except OSError:
        return None


def look_into(found: Context) -> IntelligenceEngine:
    """The engine over the database as it is, for a command that changes nothing.

    Raises:
        StoreError: There is no database yet, or it cannot be read.
    """
    database = PatternDatabase(found.database, read_only=True)
    return IntelligenceEngine(database, settings=found.settings)


def places(
    settings: Settings, homes: Sequence[str] = (), sessions: Sequence[str] = ()
) -> list[Place]:
    """Where sessions may lie: from the command line, else from the settings, else ~/.hermes.

    Raises:
        UsageError: A word of the command line names no house.
    """
    found = [_place(text, is_home=True) for text in homes]
    found += [_place(text, is_home=False) for text in sessions]
    if found:
        return found
    for house in settings.houses:
        root = house.home or house.sessions
        if root is not None:
            found.append(Place(root, house.name, house.home is not None, frozenset(house.sources)))
    return found or [Place(default_home())]


def must_be_there(named: Sequence[Place]) -> None:
    """Make sure that what the command line names is there; what the settings name may come later.

    Raises:
        UsageError: It is not, so that it is mistyped.
    """
    for place in named:
        try:
            there = place.root.is_dir()
        except PermissionError:
            continue  # whoever may look in says more
        if not there:
            why = "is no directory" if place.root.exists() else "does not exist"
            raise UsageError(f"{place.root} {why}")


def default_home() -> Path:
    """The Hermes home of this user: `$HERMES_HOME`, else `~/.hermes`."""
    return Path(os.environ.get("HERMES_HOME") or Path.home() / ".hermes")


def _place(text: str, *, is_home: bool) -> Place:
    path, separator, house = text.rpartition("=")
    if not separator or Path(text).exists():
        path, house = text, FALLBACK_HOUSE
    if not is_house(house):
        words = f"{text}: expected DIR or DIR=HOUSE, with a house of 1 to 32 of a-z 0-9 _ -"
        raise UsageError(words)
    return Place(Path(path).expanduser().absolute(), house, is_home)
