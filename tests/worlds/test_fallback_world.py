"""A fleet in which timmy gets what the best house is bad at: whether that helps is found out by trial."""

import random
from pathlib import Path
from typing import Any

import pytest

from timmyd import IntelligenceEngine, PatternDatabase
from timmyd.config import parse
from timmyd.core.publishing import content_digest_without_times, encode
from timmyd.house import Policies

pytestmark = pytest.mark.slow

KEY = "routing.fallback_to_timmy_threshold"
SETTINGS = f"""
[choice]
exploration = 0.0
[breaker]
mode = "observe"
[policies."{KEY}"]
step = 0.2
"""
START = 1_790_000_000.0
TICK_S = 600.0
LEARNING_S = 21_600.0
TOOLS = ("hard", "harder", "odd", "rare")


class Fleet:
    """Houses that obey what is published, read as a house reads it.

    Args:
        ezra: Success of every tool in ezra, at first and from the second day on.
        timmy: The same in timmy.
        told: Whether calls name the revision they ran under all the time, or one in ten.
    """

    def __init__(
        self, folder: Path, *, ezra: tuple[float, float], timmy: float, told: bool = True
    ) -> None:
        self.now = START
        self.path = folder / "timmy.db"
        self.file = folder / "policy.json"
        self.settings = parse(SETTINGS, "test")
        self.engine = self.open()
        self.policies = Policies(self.file, clock=lambda: self.now, monotonic=lambda: self.now)
        self.ezra, self.timmy, self.told = ezra, timmy, told
        self.rng = random.Random(1)
        self.revision, self.content, self.sessions = 0, "", 0
        self.kinds: list[str] = []

    def open(self) -> IntelligenceEngine:
        database = PatternDatabase(self.path, clock=lambda: self.now)
        return IntelligenceEngine(database, settings=self.settings, clock=lambda: self.now)

    def restart(self) -> None:
        self.engine.database.close()
        self.engine = self.open()

    def success(self, house: str) -> float:
        late = self.now - START > 86_400.0
        return {"ezra": self.ezra[late], "timmy": self.timmy}[house]

    def session(self) -> list[dict[str, Any]]:
        self.sessions += 1
        tool = self.rng.choice(TOOLS)
        house = self.policies.get_optimal_house(tool)[0]
        if self.now - START < LEARNING_S:  # nobody obeys yet, so both houses are learned of
            house = self.rng.choice(["ezra", "ezra", "timmy"])
        told = self.policies.revision if self.told or self.rng.random() < 0.1 else None
        return [
            {"at": self.now - 60.0 + k, "session_id": f"s{self.sessions}", "house": house,
             "tool": tool, "shape": "x", "task_type": "other", "policy": told,
             "outcome": "ok" if self.rng.random() < self.success(house) else "error",
             "latency_ms": 100.0}
            for k in range(3)
        ]  # fmt: skip

    def tick(self) -> None:
        self.now += TICK_S
        calls = [call for _ in range(4) for call in self.session()]
        self.engine.record_executions(calls)
        self.kinds += [f"{e.kind} {e.change_type}" for e in self.engine.analyze_and_adapt()]
        document = self.engine.policy_document(revision=self.revision + 1)
        content = content_digest_without_times(document)
        if content != self.content or self.revision == 0:
            self.content, self.revision = content, self.revision + 1
            self.engine.announce(self.revision, now=self.now)
            self.file.write_bytes(encode(document))

    def run(self, days: float, *, until: str = "") -> None:
        end = self.now + days * 86_400.0
        while self.now < end and not (until and any(until in kind for kind in self.kinds)):
            self.tick()

    @property
    def moves(self) -> list[str]:
        return [kind for kind in self.kinds if KEY in kind]

    @property
    def value(self) -> float:
        return self.engine.current_policies["routing"]["fallback_to_timmy_threshold"]


@pytest.mark.parametrize("told", [True, False])
def test_where_falling_back_harms_a_lower_threshold_is_tried_and_kept(
    tmp_path: Path, *, told: bool
) -> None:
    fleet = Fleet(tmp_path, ezra=(0.24, 0.24), timmy=0.02, told=told)

    fleet.run(8, until="kept")

    assert fleet.moves == [f"trial_started policy.{KEY}", f"kept policy.{KEY}"]
    assert fleet.value == 0.1


def test_where_falling_back_helps_a_lower_threshold_is_not_kept(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, ezra=(0.24, 0.05), timmy=0.16)

    fleet.run(8, until="taken_back")

    assert fleet.moves == [f"trial_started policy.{KEY}", f"taken_back policy.{KEY}"]
    assert fleet.value == 0.3


def test_restarts_during_it_change_no_decision_and_no_value(tmp_path: Path) -> None:
    told: list[list[str]] = []
    for name, every in (("steady", 0), ("often", 7)):
        (tmp_path / name).mkdir()
        fleet = Fleet(tmp_path / name, ezra=(0.24, 0.24), timmy=0.02)
        seen: list[str] = []
        for number in range(150):
            fleet.tick()
            seen.append(f"{fleet.value} {fleet.kinds}")
            if every and number % every == 0:
                fleet.restart()
        told.append(seen)

    assert "trial_started policy" in told[0][-1]
    assert told[0] == told[1]
