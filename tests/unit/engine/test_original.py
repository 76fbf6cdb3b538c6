"""A caller of the original engine keeps working: its verbs, its shapes, its ways to make and format."""

import json
import math
from dataclasses import asdict, is_dataclass
from pathlib import Path

import pytest

from timmyd import (
    AdaptationEvent,
    ExecutionPattern,
    IntelligenceEngine,
    ModelPerformance,
    PatternDatabase,
)


@pytest.fixture
def engine(tmp_path: Path) -> IntelligenceEngine:
    return IntelligenceEngine(PatternDatabase(tmp_path / "a" / "b.db"))


def record(engine: IntelligenceEngine, count: int = 20) -> None:
    for n in range(count):
        engine.db.record_execution(
            {"tool": "git_status", "house": "ezra" if n % 2 == 0 else "bezalel", "model": "hermes3:8b",
             "task_type": "read", "success": n < 15, "latency_ms": 100 + n * 5, "confidence": 0.8}
        )  # fmt: skip


def test_the_demo_of_the_original_runs_as_it_was(engine: IntelligenceEngine) -> None:
    record(engine)
    before, words = engine.predict_success("git_status", "ezra")
    assert isinstance(before, float)
    assert "Based on 10 similar executions" in words

    assert isinstance(engine.analyze_and_adapt(), list)
    assert engine.predict_success("git_status", "ezra")[0] == before
    assert engine.predict_success("nope", "ezra") == (None, "Insufficient data for prediction")
    report = engine.get_intelligence_report()
    assert set(report["house_performance"]) == {"timmy", "ezra", "bezalel"}
    assert report["house_performance"]["ezra"]["total_executions"] == 10
    assert f"{report['learning_velocity']['improvement']:+.1%}" == "+nan%"
    assert math.isnan(report["prediction_accuracy"])
    assert json.dumps(report)


def test_what_was_learned_without_a_tick_is_learned_once_and_survives_a_restart(
    tmp_path: Path,
) -> None:
    path = tmp_path / "x.db"
    engine = IntelligenceEngine(PatternDatabase(path))
    record(engine)
    told = [engine.predict("git_status", "ezra") for _ in range(3)]
    assert told[0] == told[1] == told[2]
    assert told[0]["samples"] == 10
    engine.analyze_and_adapt()
    assert engine.learner.predictions.learned == 20
    again = IntelligenceEngine(PatternDatabase(path))
    assert again.predict("git_status", "ezra") == told[0]
    assert again.learner.predictions.learned == 20


def test_its_nouns_are_dataclasses_made_by_position() -> None:
    model = ModelPerformance("m", "read", 1, 1, 1.0, 1.0, 1.0, 0.0, "x")
    pattern = ExecutionPattern("t", "*", "ezra", "m", 1.0, 1.0, 0.8, 1, "x")
    event = AdaptationEvent("2026-01-01T00:00:00", "t", "policy.x", 0.8, 0.7, "r", 0.1)
    for noun in (model, pattern, event):
        assert is_dataclass(noun)
        assert asdict(noun) == noun.to_dict()
    assert (model.task_type, pattern.sample_count, event.expected_improvement) == ("read", 1, 0.1)


def test_little_or_nothing_is_taken_as_the_original_took_it(engine: IntelligenceEngine) -> None:
    assert engine.ingest_hermes_session({}) == 0
    engine.db.record_execution({"success": True})
    assert engine.record_execution({"success": False}) > 0
    pattern = engine.db.get_pattern("unknown", "timmy")
    assert pattern is not None
    assert (pattern.sample_count, pattern.success_rate) == (2, 0.5)
