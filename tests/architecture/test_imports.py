"""The rooms of the house: who may import whom, and what is pure."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "timmyd"

# A room may import the rooms named here, and itself.
GROUND = {"errors", "clock"}
ALLOWED = {
    "house": set[str](),
    "errors": set[str](),
    "clock": set[str](),
    "core": {"house", "errors"},
    "config": {"core", "house", *GROUND},
    "sources": {"core", "house", *GROUND},
    "store": {"core", "house", *GROUND},
    "engine": {"config", "sources", "store", "core", "house", *GROUND},
    "service": {"report", "engine", "config", "sources", "store", "core", "house", "", *GROUND},
    "notify": {"service", "config", "store", "core", "house", "", *GROUND},
    "tools": {
        "notify",
        "service",
        "engine",
        "config",
        "sources",
        "store",
        "core",
        "house",
        "",
        *GROUND,
    },
    "report": {"engine", "store", "core", "house", *GROUND},
    "cli": {
        "notify",
        "tools",
        "report",
        "service",
        "engine",
        "config",
        "sources",
        "store",
        "core",
        "house",
        "",
        *GROUND,
    },
    "": {"engine", "core", "store", "cli", "house"},
}
IMPURE = {
    "os",
    "sqlite3",
    "time",
    "threading",
    "logging",
    "structlog",
    "socket",
    "subprocess",
    "pathlib",
    "random",
    "shutil",
    "tempfile",
}


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(ROOT.rglob("*.py")):
        yield room_of(path), path


def room_of(path: Path) -> str:
    first = path.relative_to(ROOT).parts[0].removesuffix(".py")
    return "" if first in {"__init__", "__main__"} else first


def imported(path: Path) -> Iterator[tuple[str, int]]:
    """Absolute names of what a module imports, with the level of a relative import."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, 0) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.module == "timmyd":
                yield from ((f"timmyd.{alias.name}", 0) for alias in node.names)
            else:
                yield node.module or "", node.level


@pytest.mark.parametrize(("room", "path"), list(modules()), ids=lambda value: str(value)[-40:])
def test_a_module_imports_only_the_rooms_it_stands_on(room: str, path: Path) -> None:
    for name, level in imported(path):
        if level or not name.startswith("timmyd"):
            continue
        other = name.split(".")[1] if "." in name else ""
        if other.startswith("__"):
            other = ""
        assert other == room or other in ALLOWED[room], f"{path.name} imports {name}"


def test_the_house_kit_needs_the_standard_library_only_and_can_be_copied() -> None:
    for room, path in modules():
        if room != "house":
            continue
        for name, level in imported(path):
            if level:
                assert level == 1, f"{path.name} reaches out of its folder"
                continue
            top = name.split(".")[0]
            assert top in sys.stdlib_module_names, f"{path.name} imports {name}"


def test_the_core_touches_nothing() -> None:
    for room, path in modules():
        if room == "core":
            touched = {name.split(".")[0] for name, level in imported(path) if not level} & IMPURE
            assert not touched, f"{path.name} imports {touched}"


def test_only_the_store_and_the_reader_of_hermes_own_database_know_sql() -> None:
    for room, path in modules():
        names = {name.split(".")[0] for name, _ in imported(path)}
        if "sqlite3" in names:
            assert room == "store" or path.name.startswith("state_db"), path.name


def test_only_the_commands_print() -> None:
    for room, path in modules():
        if room == "cli":
            continue
        calls = (
            n
            for n in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(n, ast.Call)
        )
        assert not any(isinstance(c.func, ast.Name) and c.func.id == "print" for c in calls), (
            path.name
        )
