"""What a tick costs: flat in history, and printed for a large fleet."""

import random
import statistics
import time
from pathlib import Path

from timmyd.engine import IntelligenceEngine
from timmyd.store.database import PatternDatabase

_START = 1_790_000_000.0
_DAY_S = 86_400.0
_COPY = """INSERT INTO executions SELECT id + ?, at - 20000, lineage, combo, signature, outcome, rule,
    error_type, source, flags, latency_ms, confidence, tokens_in, tokens_out, cost, policy
    FROM executions WHERE id <= ?"""


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
        self.database = PatternDatabase(path, clock=lambda: self.now)
        self.engine = IntelligenceEngine(self.database, clock=lambda: self.now)

    def learn(self, n: int, *, seed: int) -> None:
        self.engine.record_executions(fleet_calls(n, at=self.now, seed=seed, **self.sizes))
        self.now += 2.0
        self.engine.analyze_and_adapt()
        while self.engine.behind:
            self.engine.analyze_and_adapt()

    def grow(self, rows: int) -> None:
        """Multiply the rows of the history; what was learned of them stays as it is."""
        self.database.close()
        import sqlite3

        connection = sqlite3.connect(self.database.path)
        top = connection.execute("SELECT max(id) FROM executions").fetchone()[0]
        while top < rows:
            connection.execute(_COPY, (top, min(top, rows - top)))
            top = connection.execute("SELECT max(id) FROM executions").fetchone()[0]
        connection.execute("INSERT OR REPLACE INTO counters VALUES ('last_execution', ?)", (top,))
        connection.execute("UPDATE state SET value = ? WHERE key = 'mark'", (str(top).encode(),))
        connection.commit()
        connection.close()
        self.database = PatternDatabase(self.database.path, clock=lambda: self.now)
        self.engine = IntelligenceEngine(self.database, clock=lambda: self.now)

    def tick_ms(self, rounds: int) -> tuple[float, float]:
        """(a tick with 50 new executions, a document), median ms of CPU."""
        ticks, documents = [], []
        for number in range(rounds):
            self.engine.record_executions(
                fleet_calls(50, at=self.now, seed=1000 + number, **self.sizes)
            )
            self.now += 1.0
            began = time.process_time()
            self.engine.analyze_and_adapt()
            ticks.append(time.process_time() - began)
            began = time.process_time()
            self.engine.policy_document()
            documents.append(time.process_time() - began)
        return statistics.median(ticks) * 1000, statistics.median(documents) * 1000
