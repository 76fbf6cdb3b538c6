"""A report with something in every section, and names that a hostile session could bring."""

from collections.abc import Callable
from typing import Any

import pytest

from timmyd.core.model import AdaptationEvent, ModelPerformance, iso
from timmyd.house.outcome import OUTCOMES
from timmyd.report.attention import attention
from timmyd.report.attention_types import AttentionInput
from timmyd.report.data import (
    CalibrationBin,
    IngestCounts,
    PredictionScores,
    ReportInput,
    SourceState,
    VelocityFigures,
)
from timmyd.report.moving import trends
from timmyd.report.rhythm import week
from timmyd.store.queries import ToolCount
from timmyd.store.rollups import BINS, latency_bin
from timmyd.store.trends import HourCount

NOW = 1_795_390_800.0

Row = Callable[..., ToolCount]


def count_row(
    house: str,
    tool: str,
    *,
    model: str = "hermes3:8b",
    task: str = "build",
    latency_ms: float | None = None,
    **outcomes: int,
) -> ToolCount:
    calls = sum(outcomes.values())
    histogram = [0] * BINS
    if latency_ms is not None:
        histogram[latency_bin(latency_ms)] = calls
    return ToolCount(
        house=house,
        tool=tool,
        shape="",
        model=model,
        task=task,
        counts=tuple(outcomes.get(name, 0) for name in OUTCOMES),
        latency_n=0 if latency_ms is None else calls,
        latency_ms=0.0 if latency_ms is None else calls * latency_ms,
        confidence_n=0,
        confidence=0.0,
        histogram=tuple(histogram),
    )


def falling_rows(name: str) -> list[HourCount]:
    """Four weeks in which one tool of ezra stopped working two days ago."""
    now_hour = int(NOW // 3_600)
    return [
        HourCount(hour, "ezra", name, 1 if hour < now_hour - 48 else 0, 1, 1, 1, 90.0)
        for hour in range(now_hour - 28 * 24, now_hour, 4)
    ]


def busy_document(name: str) -> dict[str, Any]:
    return {
        "revision": 17,
        "mode": "enforce",
        "data_through": "2026-11-22T23:30:00Z",
        "policies": {"ezra": {"evidence_threshold": 0.7}, "routing": {"x": 0.3}},
        "models": {"build": {"model": name, "success": 0.5, "samples": 100}},
        "breakers": [
            {
                "house": "ezra",
                "tool": name,
                "model": None,
                "state": "open",
                "since": "2026-11-22T23:20:00Z",
                "reason": name,
            },
            {"house": "ezra", "tool": None, "model": name, "state": "half_open"},
            {"house": "ezra", "tool": "calm", "model": None, "state": "closed"},
        ],
        "trials": [{"policy": "ezra.evidence_threshold", "old": 0.7, "new": 0.6, "arm": "new"}],
        "why": {
            "ezra.evidence_threshold": {
                "default": 0.8,
                "since": "2026-11-20T08:00:00Z",
                "reason": name,
                "pinned": True,
            }
        },
    }


def busy_input(name: str = "terminal") -> ReportInput:
    """`name` stands wherever a session can bring its own text."""
    return ReportInput(
        at=NOW,
        houses=("amos", "bezalel", "ezra"),
        counts=[
            count_row("ezra", name, model=name, ok=51, error=40, timeout=9, latency_ms=740.0),
            count_row("ezra", "web_search", ok=3, error=38, blocked=7, latency_ms=90.0),
            count_row("bezalel", "terminal", ok=300, error=10, rejected=4, unknown=2),
        ],
        turns={"ezra": (20, 18)},
        models=[
            ModelPerformance(
                model=name,
                task_type="build",
                total_calls=100,
                success_count=51,
                success_rate=0.51,
                avg_latency_ms=740.0,
                avg_tokens=1_200.0,
                cost_per_call=0.002,
                last_used=None,
            )
        ],
        document=busy_document(name),
        attention=attention(
            AttentionInput(
                at=NOW,
                rows=falling_rows(name),
                document=busy_document(name),
                status={},
                failing=[],
                offset_s=lambda _: 0.0,
                iso=iso,
            )
        ),
        trends=trends(falling_rows(name), [], now=NOW),
        week=week(falling_rows(name), lambda _: 0.0),
        adaptations=[
            AdaptationEvent(
                timestamp="2026-11-20T08:00:00.000Z",
                trigger="low_ezra_success_rate",
                change_type="policy.ezra.evidence_threshold",
                old_value=0.8,
                new_value=0.7,
                reason=f"builds of {name} fail",
                kind="kept",
            )
        ],
        velocity=VelocityFigures(
            recent_success_rate=0.84,
            previous_success_rate=0.8,
            improvement=0.04,
            interval=(-0.011, 0.09),
            velocity="stable",
        ),
        accuracy=0.86,
        scores=PredictionScores(
            brier=0.131,
            log_loss=0.41,
            baseline_brier=0.166,
            calibration=[
                CalibrationBin(predicted=0.2, observed=0.25, samples=80),
                CalibrationBin(predicted=0.8, observed=0.79, samples=320),
            ],
            samples=400,
        ),
        ingest=IngestCounts(
            sessions=41,
            executions=464,
            duplicates=1_882,
            files_failed=2,
            files_ignored=31,
            by_source={"telemetry": 400, "state_db": 64},
        ),
        sources=[SourceState(house="ezra", source="snapshot", files=3, note=name)],
    )


@pytest.fixture
def row() -> Row:
    return count_row


@pytest.fixture
def busy() -> Callable[[str], ReportInput]:
    return busy_input


@pytest.fixture
def empty() -> ReportInput:
    return ReportInput(at=NOW, houses=("timmy",))
