"""Change a line of the core at random, and see whether a test fails; 200 times.

    .venv/bin/python -m tests.mutation [--mutants 200] [--rooms core engine store] [--seed 1] [--jobs 2]

First every fast test runs once under coverage, which tells who runs which line. Then each mutant is tried, in a
copy of the project, by the tests that run its line, the quickest first. What no test notices is listed: it is a
missing test, code that nobody needs, or a change that changes nothing. Fewer than 85 % noticed ends it with
status 1.
"""

import argparse
import json
import os
import queue
import random
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import NamedTuple

import coverage

from tests.mutation.mutants import Mutant, mutants

ROOT = Path(__file__).parents[2]
COPIED = ("timmyd", "tests", "systemd", "config", "README.md", "pyproject.toml", ".ci", ".github")
SUITES = ("tests/unit", "tests/contract", "tests/property")
LONGEST_S = 60.0
"""Tests of a mutant: no more than take so long together when nothing is wrong."""
STARTUP_S = 20.0
BAR = 0.85
_NOTHING_RAN = 5


class Chosen(NamedTuple):
    """A mutant, the file that it is of, and the tests that run its line."""

    file: Path
    mutant: Mutant
    tests: list[str]
    expected_s: float


class Cover:
    """Which tests run which lines of which file, and for how long."""

    def __init__(
        self, data: coverage.CoverageData, durations: dict[str, float], root: Path
    ) -> None:
        self.durations = durations
        self.lines: dict[Path, dict[int, list[str]]] = {
            Path(name).relative_to(root): data.contexts_by_lineno(name)
            for name in data.measured_files()
            if Path(name).is_relative_to(root)
        }

    def tests(self, file: Path, line: int) -> tuple[list[str], float]:
        """The quickest tests that run a line, and how long they take together in seconds.

        A line that runs at import is tried by what runs anything of its file.
        """
        lines = self.lines.get(file, {})
        names = self.durations.keys() & set(lines.get(line, ()))
        if not names:
            names = self.durations.keys() & {name for found in lines.values() for name in found}
        taken: list[str] = []
        total = 0.0
        for name in sorted(names, key=self.durations.__getitem__):
            total += self.durations[name]
            if taken and total > LONGEST_S:
                break
            taken.append(name)
        return taken, total


def copied(folder: Path) -> Path:
    """A copy of the project to change."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "node_modules")
            shutil.copytree(source, folder / name, ignore=ignored)
        elif source.exists():
            shutil.copy(source, folder / name)
    return folder


def covered(root: Path) -> Cover:
    """Run every fast test once under coverage."""
    rc = root / "mutation.coveragerc"
    rc.write_text(f"[run]\nsource = {root / 'timmyd'}\ndata_file = {root / '.cover'}\n")
    told = root / "durations.json"
    command = [
        *(sys.executable, "-m", "coverage", "run", f"--rcfile={rc}", "-m", "pytest", *SUITES),
        *("-q", "-m", "not slow", "-p", "tests.mutation.covering", "-p", "no:cacheprovider"),
    ]
    environment = {**os.environ, "TEST_DURATIONS": str(told)}
    if subprocess.run(command, cwd=root, check=False, env=environment).returncode:
        print("what fails without a mutant tries none")
    data = coverage.CoverageData(str(root / ".cover"))
    data.read()
    return Cover(data, json.loads(told.read_text()), root)


def is_noticed(root: Path, chosen: Chosen) -> bool:
    """Whether a test fails, or hangs, on a mutant in this copy of the project."""
    if not chosen.tests:
        return False
    target = root / chosen.file
    before = target.read_text("utf-8")
    names = root / "tests.txt"
    names.write_text("\n".join(chosen.tests))
    command = [
        *(sys.executable, "-B", "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"),
        *("--no-header", f"@{names}"),
    ]
    try:
        target.write_text(chosen.mutant.source, "utf-8")
        limit = STARTUP_S + 5 * chosen.expected_s
        done = subprocess.run(command, cwd=root, capture_output=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return True
    finally:
        target.write_text(before, "utf-8")
    assert done.returncode != _NOTHING_RAN, done.stdout.decode()
    return done.returncode != 0


def chosen_mutants(rooms: list[str], count: int, seed: int, cover: Cover) -> list[Chosen]:
    """So many mutants of these rooms, each line as likely as its mutants are many."""
    all_of_them = [
        (file.relative_to(ROOT), mutant)
        for room in rooms
        for file in sorted((ROOT / "timmyd" / room).rglob("*.py"))
        for mutant in mutants(file.read_text("utf-8"))
    ]
    drawn = random.Random(seed).sample(all_of_them, min(count, len(all_of_them)))
    return [Chosen(file, mutant, *cover.tests(file, mutant.line)) for file, mutant in drawn]


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--mutants", type=int, default=200)
    options.add_argument("--rooms", nargs="+", default=["core", "engine", "store"])
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="timmyd-mutation-") as folder:
        Path(folder).chmod(0o755)  # some tests become another user
        roots = [copied(Path(folder, str(number))) for number in range(given.jobs)]
        cover = covered(roots[0])
        work: queue.SimpleQueue[Chosen] = queue.SimpleQueue()
        chosen = chosen_mutants(given.rooms, given.mutants, given.seed, cover)
        for each in chosen:
            work.put(each)
        survived: list[Chosen] = []
        done: list[Chosen] = []

        def try_all(root: Path) -> None:
            while True:
                try:
                    each = work.get_nowait()
                except queue.Empty:
                    return
                if not is_noticed(root, each):
                    survived.append(each)
                    print(f"\r{each.file}:{each.mutant.line}: {each.mutant.what}", flush=True)
                done.append(each)
                print(
                    f"\r{len(done)} of {len(chosen)}, {len(survived)} unnoticed", end="", flush=True
                )

        workers = [threading.Thread(target=try_all, args=(root,)) for root in roots]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    share = 1.0 - len(survived) / max(1, len(chosen))
    print(f"\r{share:.1%} of {len(chosen)} mutants noticed")
    return 0 if share >= BAR else 1


if __name__ == "__main__":
    sys.exit(main())
