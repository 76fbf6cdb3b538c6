"""What a tick costs: flat in history, and printed for a large fleet.

A tick reads what is new and the state, never the history, so the history is not made of executions: it
is written as what a year of them leaves behind, counts by hour and by day, numbers that go on from there,
and a state that has learned several times as much.
"""

import random
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from timmyd.engine import IntelligenceEngine
from timmyd.house.outcome import OUTCOMES
from timmyd.store import statements
from timmyd.store.connection import connect
from timmyd.store.database import PatternDatabase

_START = 1_790_000_000.0
_HOUR_S = 3600.0
_HOURS_KEPT, _DAYS_KEPT = 35 * 24, 330
_YEAR_HOURS = 8760
_MODELS_A_PAIR = 2
_NEW = 50
"""Executions that a tick finds new."""


class Table(Protocol):
    """Where the figures go."""

    def add(self, what: str, measured: str, bar: str = "", *, met: bool | None = None) -> None: ...


def fleet_calls(
    n: int, *, at: float, houses: int, tools: int, models: int, seed: int
) -> list[dict[str, object]]:
    rng = random.Random(seed)
    return [
        {"at": at + k / n, "session_id": f"{seed}-{k // 8}", "house": f"house{rng.randrange(houses)}",
         "tool": f"tool{rng.randrange(tools)}", "model": f"model{rng.randrange(models)}",
         "task_type": rng.choice(["read", "build", "test"]), "shape": f"s{rng.randrange(3)}",
         "outcome": "ok" if rng.random() < 0.9 else "error", "latency_ms": 20.0}
        for k in range(n)
    ]  # fmt: skip


class Fleet:
    """An engine with a history, and the time of its next tick."""

    def __init__(self, path: Path, *, houses: int, tools: int, models: int) -> None:
        self.now = _START
        self.sizes = {"houses": houses, "tools": tools, "models": models}
        self.path = path
        self._open()

    def _open(self) -> None:
        self.database = PatternDatabase(self.path, clock=lambda: self.now)
        self.engine = IntelligenceEngine(self.database, clock=lambda: self.now)

    def learn(self, n: int, *, seed: int) -> None:
        self.engine.record_executions(fleet_calls(n, at=self.now, seed=seed, **self.sizes))
        self.now += 2.0
        self.engine.analyze_and_adapt()
        while self.engine.behind:
            self.engine.analyze_and_adapt()

    def remember(self, executions: int) -> int:
        """Leave behind what a year with so many executions would; returns the rows of the buckets."""
        self.engine.save()
        self.database.close()
        connection = connect(str(self.path), now=self.now, progress=lambda _version: None)
        connection.execute("BEGIN IMMEDIATE")
        combos = []
        for house in range(self.sizes["houses"]):
            for tool in range(self.sizes["tools"]):
                for model in range(_MODELS_A_PAIR):
                    names = (f"house{house}", f"tool{tool}", "year", f"model{model}", "read")
                    connection.execute(
                        "INSERT INTO combos (house, tool, shape, model, task) VALUES (?, ?, ?, ?, ?)",
                        names,
                    )
                    combos.append(connection.execute("SELECT last_insert_rowid()").fetchone()[0])
        connection.executemany(statements.UPSERT_HOUR, self._buckets(combos, executions))
        connection.execute(
            "INSERT OR REPLACE INTO counters VALUES ('last_execution', ?)", (executions,)
        )
        mark = str(executions).encode()
        connection.execute("UPDATE state SET value = ? WHERE key = 'mark'", (mark,))
        connection.execute("COMMIT")
        rows = int(connection.execute("SELECT count(*) FROM hours").fetchone()[0])
        connection.close()
        self._open()
        return rows

    def _buckets(self, combos: list[int], executions: int) -> Iterator[tuple[float, ...]]:
        rest = (0,) * (len(OUTCOMES) - 2)
        an_hour = executions / _YEAR_HOURS
        last = int(self.now // _HOUR_S)
        for span, count in ((24, _DAYS_KEPT), (1, _HOURS_KEPT)):
            first = last - _HOURS_KEPT - (_DAYS_KEPT * 24 if span > 1 else 0)
            used = combos[: max(1, min(len(combos), int(an_hour * span)))]
            each = max(1, round(an_hour * span / len(used)))
            for step in range(count):
                for combo in used:
                    yield (first + step * span, combo, each, each // 9, *rest, each, 20.0 * each, 0, 0.0)  # fmt: skip

    def tick_s(self, number: int) -> tuple[float, float]:
        """CPU seconds of a tick with new executions, and of the document after it."""
        self.engine.record_executions(
            fleet_calls(_NEW, at=self.now, seed=1000 + number, **self.sizes)
        )
        self.now += 1.0
        began = time.process_time()
        self.engine.analyze_and_adapt()
        ticked = time.process_time()
        self.engine.policy_document()
        return ticked - began, time.process_time() - ticked


def tick(rows: Table, base: Path, *, full: bool) -> None:
    """The rows of the table: the cost of a tick after a history and after ten times as much."""
    sizes = {"houses": 10, "tools": 200, "models": 20}
    small, large = (10_000_000, 100_000_000) if full else (1_000_000, 10_000_000)
    slices = (10, 40) if full else (5, 15)
    fleets = []
    for history, learned in zip((small, large), slices, strict=True):
        fleet = Fleet(base / f"tick{history}.db", **sizes)
        for number in range(learned):
            fleet.learn(2000, seed=number)
        fleets.append((fleet, fleet.remember(history)))
    times: list[list[tuple[float, float]]] = [[], []]
    for number in range(60):
        for measured, (fleet, _) in zip(times, fleets, strict=True):
            measured.append(fleet.tick_s(number))
    (ticks, documents), (later, _) = (
        [[1000 * one[i] for one in measured] for i in (0, 1)] for measured in times
    )
    ratio = statistics.median(later) / statistics.median(ticks)
    rows.add(
        f"a tick, {_NEW} new executions: 10 houses, 200 tools, 20 models",
        f"{statistics.median(ticks):.0f} ms CPU, its document {statistics.median(documents):.0f} ms",
    )
    rows.add(
        f"a tick after {large / 1e6:.0f}M executions ({fleets[1][1]:,} buckets) / after {small / 1e6:.0f}M",
        f"{ratio:.2f}", "<= 1.2", met=ratio <= 1.2,
    )  # fmt: skip
    for fleet, _ in fleets:
        fleet.database.close()
