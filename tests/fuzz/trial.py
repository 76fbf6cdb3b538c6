"""One batch of damaged files beside good ones: nothing is raised, nothing takes long, the good are counted."""

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Final

from tests.contract.state_db_corpus import CORPUS, NOW
from tests.fuzz.damage import damage_bytes, damage_database, damage_document, damage_lines
from timmyd.config import load, sample
from timmyd.core.tasks import TaskTable
from timmyd.engine.ingest import Ingest
from timmyd.errors import ConfigError
from timmyd.service.homes import Place
from timmyd.service.intake import Intake
from timmyd.service.outside import nobody_listens
from timmyd.store.database import PatternDatabase

LONGEST_S: Final = 5.0
GOOD_CALLS: Final = 20
_PATIENCE_S: Final = 45.0
"""For a good database that a machine at other work did not read in time, and that is tried again."""

_GOOD: Final = CORPUS / "c04_rotate_manual" / "state.db"
_DATABASES: Final = sorted(set(CORPUS.glob("*/state.db")) - {_GOOD})
"""Not the good one: a copy of it among homes of one owner is the same sessions."""

_DOCUMENTS: Final = sorted(
    path
    for path in CORPUS.glob("*/versions/*.json")
    if path.stat().st_size < 60_000 and path.parent.parent != _GOOD.parent
)
_RUN: Final = "0123456789abcdef"


class FuzzError(AssertionError):
    """A batch was not survived as it should be."""


def run_batch(kind: str, seeds: range, folder: Path) -> float:
    """Try the damage of these seeds; returns the longest time that one step took, in seconds.

    Raises:
        FuzzError: A step took too long, or a good neighbour was not counted.
    """
    return _KINDS[kind](seeds, folder)


def _databases(seeds: range, folder: Path) -> float:
    places = [Place(_good_home(folder), "good")]
    for seed in seeds:
        random = Random(seed)
        path = folder / f"home{seed}" / "state.db"
        path.parent.mkdir()
        shutil.copy(random.choice(_DATABASES), path)
        damage_database(path, random)
        for file in path.parent.iterdir():
            os.utime(file, (NOW - 60.0, NOW - 60.0))
        places.append(Place(path.parent, f"h{seed}"))
    return _read(places)


def _good_home(folder: Path) -> Path:
    home = folder / "good"
    (home / "sessions" / "timmy").mkdir(parents=True)
    shutil.copy(_GOOD, home / "state.db")
    os.utime(home / "state.db", (NOW - 60.0, NOW - 60.0))
    return home


def _sessions(seeds: range, folder: Path) -> float:
    home = _good_home(folder)
    for seed in seeds:
        random = Random(seed)
        name = random.choice(("session_{}.json", "plain{}.json")).format(seed)
        data = damage_document(random.choice(_DOCUMENTS).read_bytes(), random)
        (home / "sessions" / name).write_bytes(data)
    return _read([Place(home, "good")])


def _telemetry(seeds: range, folder: Path) -> float:
    home = _good_home(folder)
    head = {"schema": "timmy.telemetry/1", "run": _RUN, "house": "x", "kit": "1"}
    for seed in seeds:
        random = Random(seed)
        lines = [json.dumps({**head, "session_id": f"t{seed}"})]
        lines += [json.dumps(_line(n)) for n in range(random.randrange(1, 40))]
        data = damage_lines("\n".join(lines).encode(), random)
        (home / "sessions" / "timmy" / f"{seed}.jsonl").write_bytes(data)
    return _read([Place(home, "good")])


def _line(n: int) -> dict[str, object]:
    common = {"run": _RUN, "n": n, "at": NOW - 500.0 + n}
    if n % 9 == 8:
        return common | {"kind": "end", "completed": True, "interrupted": False}
    if n % 5 == 4:
        return common | {"kind": "model", "model": "m", "outcome": "ok", "tokens_in": 9}
    return common | {
        "kind": "tool", "tool": "terminal", "call_id": f"call_{n}", "signature": _RUN,
        "shape": "git push", "outcome": "ok", "latency_ms": 7.5, "model": "hermes3:8b",
    }  # fmt: skip


def _read(places: list[Place]) -> float:
    """Take in all that is there, as the daemon does; the good home's database must be counted."""
    database = PatternDatabase(":memory:", clock=lambda: NOW)
    intake = Intake(
        places, database, Ingest(tasks=TaskTable.default()),
        largest_bytes=64 << 20, outside=nobody_listens(lambda: NOW),
    )  # fmt: skip
    longest = 0.0
    try:
        intake.find()
        intake.scan(trusted=False)
        idle, ends = 0, time.monotonic() + _PATIENCE_S
        while idle < 2 or (_good_calls(database) < GOOD_CALLS and time.monotonic() < ends):
            began = time.monotonic()
            steps = list(intake.read_slice())
            longest = max(longest, time.monotonic() - began)
            idle = 0 if any(step.files for step in steps) or intake.inbox.backlog else idle + 1
        if longest > LONGEST_S:
            raise FuzzError(f"one step took {longest:.1f} s")
        good = _good_calls(database)
        if good < GOOD_CALLS:
            raise FuzzError(f"of a good neighbour {good} of {GOOD_CALLS} calls were counted")
    finally:
        intake.close()
        database.close()
    return longest


def _good_calls(database: PatternDatabase) -> int:
    return sum(
        execution.house == "good" and execution.source == "state_db"
        for execution in database.executions_after(0, 1_000_000)
    )


def _settings(seeds: range, folder: Path) -> float:
    longest = 0.0
    lines = [line.removeprefix("#") if "=" in line else line for line in sample().splitlines()]
    whole = "\n".join(lines).encode()
    for seed in seeds:
        random = Random(seed)
        path = folder / f"{seed}.toml"
        path.write_bytes(damage_bytes(whole, random))
        began = time.monotonic()
        try:
            load([path])
        except ConfigError as error:
            if not error.problems:
                raise FuzzError("refused without a reason") from error
        longest = max(longest, time.monotonic() - began)
    if longest > LONGEST_S:
        raise FuzzError(f"settings took {longest:.1f} s")
    return longest


_KINDS: Final[dict[str, Callable[[range, Path], float]]] = {
    "state_db": _databases,
    "sessions": _sessions,
    "telemetry": _telemetry,
    "settings": _settings,
}
