"""What the commands share: where things are, what opens them, how results are printed."""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console

from timmyd.config import Settings, database_path, default_paths, load, state_dir
from timmyd.config.places import SERVICE_FOLDER
from timmyd.engine import IntelligenceEngine
from timmyd.errors import ConfigError, Problem
from timmyd.service.inbox import Place
from timmyd.store.database import PatternDatabase

FAILED = 1
WRONG_USAGE = 2
WRONG_SETTINGS = 78

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="Settings file; by default those of the service or the user."),
]
StateOption = Annotated[
    Path | None,
    typer.Option("--state", help="State directory; by default that of the service or the user."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


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


def context(config: Path | None, state: Path | None) -> Context:
    """Load the settings.

    Raises:
        ConfigError: They have problems, or the file that was named does not exist.
    """
    paths = settings_paths(config)
    return Context(load(paths), state or state_dir(os.environ), tuple(paths))


def settings_paths(config: Path | None) -> list[Path]:
    """The settings files to read: the one named, or those of the service or the user."""
    if config is not None:
        if not config.exists():
            raise ConfigError([Problem(str(config), "expected a settings file, found nothing")])
        return [config]
    return default_paths(os.environ, service=is_service())


def is_service() -> bool:
    """Whether this process is, or belongs to, the system service."""
    return "STATE_DIRECTORY" in os.environ and SERVICE_FOLDER.exists()


def look_into(found: Context) -> IntelligenceEngine:
    """The engine over the database as it is, for a command that changes nothing."""
    database = PatternDatabase(found.database, read_only=True)
    return IntelligenceEngine(database, settings=found.settings)


def places(
    settings: Settings, homes: Sequence[str] = (), sessions: Sequence[str] = ()
) -> list[Place]:
    """Where sessions may lie: from the command line, else from the settings, else ~/.hermes."""
    found = [_place(text, is_home=True) for text in homes]
    found += [_place(text, is_home=False) for text in sessions]
    if found:
        return found
    for house in settings.houses:
        root = house.home or house.sessions
        if root is not None:
            found.append(Place(root, house.name, house.home is not None, frozenset(house.sources)))
    return found or [Place(Path(os.environ.get("HERMES_HOME") or Path.home() / ".hermes"))]


def _place(text: str, *, is_home: bool) -> Place:
    path, separator, house = text.rpartition("=")
    if not separator:
        path, house = text, "timmy"
    allowed = set("abcdefghijklmnopqrstuvwxyz0123456789_-")
    if not house or len(house) > 32 or not set(house) <= allowed:  # noqa: PLR2004 - CONTRACT §1
        raise typer.BadParameter(
            f"{text}: expected DIR or DIR=HOUSE with a house of 1 to 32 letters a-z, digits, _ or -"
        )
    return Place(Path(path).expanduser().absolute(), house, is_home)


def console() -> Console:
    """The terminal; no colour and no width of its own where there is none."""
    return Console(highlight=False, soft_wrap=not sys.stdout.isatty())


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    data = msgspec.json.format(msgspec.json.encode(value), indent=2)
    sys.stdout.write(data.decode() + "\n")


def dumps(value: Any) -> str:
    """A value as indented JSON text."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def say(text: str) -> None:
    """Print a line."""
    sys.stdout.write(text + "\n")


def complain(text: str) -> None:
    """Print what went wrong."""
    sys.stderr.write(f"timmyd: {text}\n")
