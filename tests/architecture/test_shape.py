"""The shape of the house: no circle, no long file, each class name once, every rule and source registered."""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import get_args

import pytest

from timmyd.core.judging.rules import RULES
from timmyd.core.model import Source
from timmyd.sources import SOURCES

ROOT = Path(__file__).parents[2] / "timmyd"
LONGEST = 300

# Longer than they should be, and how long they may be; a number here may only shrink.
LONG = {
    "config/assemble.py": 325,
    "engine/intelligence.py": 450,
    "house/outcome.py": 350,
    "house/reader.py": 325,
    "service/inbox.py": 325,
    "service/reading.py": 350,
    "service/state_dbs.py": 350,
    "tools/importing.py": 325,
}

# What the rules stand on; every other file in their folder is a rule.
GROUND_OF_RULES = {
    "base", "explain", "knobs", "machine", "obstacles", "routes", "saved", "signals", "watch", "words",
}  # fmt: skip
# What the sources share; every other file in their folder is a source.
GROUND_OF_SOURCES = {
    "decoding", "collection", "density", "export", "messages", "state_db_open", "state_db_rows", "state_db_schema",
    "telemetry_schema", "times",
}  # fmt: skip


def files(folder: Path = ROOT) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _run_at_import(body: Iterable[ast.stmt]) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports that run when a module is imported: not those in functions, or for types alone."""
    for node in body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            yield from _run_at_import(node.orelse)
        elif isinstance(node, (ast.If, ast.Try, ast.With)):
            inner = [n for n in ast.iter_child_nodes(node) if isinstance(n, ast.stmt)]
            handlers = list(getattr(node, "handlers", []))
            yield from _run_at_import([*inner, *(n for h in handlers for n in h.body)])


def imports_of(path: Path, known: set[str]) -> set[str]:
    """The modules of the package that a file imports."""
    name = name_of(path)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found: set[str] = set()
    for node in _run_at_import(ast.parse(path.read_text("utf-8")).body):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
            continue
        base = node.module or ""
        if node.level:
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*above, base] if base else above)
        found |= {
            inner if (inner := f"{base}.{alias.name}") in known else base for alias in node.names
        }
    return (found & known) - {name}


def graph() -> dict[str, set[str]]:
    known = {name_of(path) for path in files()}
    return {name_of(path): imports_of(path, known) for path in files()}


def test_there_is_no_circle_of_files() -> None:
    rest = graph()
    while free := [name for name, others in rest.items() if not others & rest.keys()]:
        for name in free:
            del rest[name]
    circle = {name: sorted(others & rest.keys()) for name, others in rest.items()}
    assert not circle


def test_the_wings_of_the_core_do_not_import_each_other() -> None:
    wings = ("counting", "judging", "estimating")
    for name, others in graph().items():
        for wing in wings:
            if name.startswith(f"timmyd.core.{wing}"):
                strangers = [f"timmyd.core.{one}" for one in wings if one != wing]
                assert not [o for o in others if o.startswith(tuple(strangers))], name


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_has_at_most_300_lines(path: Path) -> None:
    lines = len(path.read_text("utf-8").splitlines())
    allowed = LONG.get(path.relative_to(ROOT).as_posix(), LONGEST)
    assert lines <= allowed, "split it by meaning"


def classes() -> dict[str, list[str]]:
    """Where each class name of the package is defined."""
    places: dict[str, list[str]] = {}
    for path in files():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    return places


def test_no_class_name_is_used_twice() -> None:
    assert not {name: found for name, found in classes().items() if len(found) > 1}


@pytest.mark.slow  # not a gate for each step: what became right may be taken off a little later
def test_the_list_of_long_files_only_shrinks() -> None:
    short = [
        name
        for name in LONG
        if not (ROOT / name).exists()
        or len((ROOT / name).read_text("utf-8").splitlines()) <= LONGEST
    ]
    assert not short, "take these off the list"


def test_every_rule_is_registered() -> None:
    folder = ROOT / "core" / "judging" / "rules"
    stems = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert stems >= GROUND_OF_RULES
    registered = {
        alias.name
        for node in ast.parse((folder / "__init__.py").read_text("utf-8")).body
        if isinstance(node, ast.ImportFrom) and node.module == name_of(folder / "__init__.py")
        for alias in node.names
    }
    assert stems - GROUND_OF_RULES == registered
    for stem in registered:
        module = __import__(f"{name_of(folder / '__init__.py')}.{stem}", fromlist=["RULES"])
        assert module.RULES, f"{stem} has no rule"
        assert set(module.RULES) <= set(RULES), f"{stem} is not in RULES"


def test_every_source_is_registered() -> None:
    folder = ROOT / "sources"
    stems = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert stems >= GROUND_OF_SOURCES
    names = set(get_args(Source))

    assert stems - GROUND_OF_SOURCES == names
    # The state_db is no file of a sessions directory: the follower of databases reads it.
    assert {kind.source for kind in SOURCES} == names - {"state_db"}
