"""The report as data: the promises of `report --json`."""

import json
from collections.abc import Callable

import pytest

from timmyd.report.data import ReportInput, build, to_json
from timmyd.store.queries import ToolCount

Row = Callable[..., ToolCount]
AT = 1_795_390_800.0


def test_it_has_all_that_the_contract_promises(busy: Callable[..., ReportInput]) -> None:
    data = json.loads(to_json(build(busy())))

    assert {
        "timestamp", "period_days", "house_performance", "tools", "models", "current_policies",
        "recent_adaptations", "learning_velocity", "prediction_accuracy", "prediction_scores", "ingest",
    } <= set(data)  # fmt: skip
    assert {
        "house", "period_days", "total_executions", "successes", "success_rate", "interval",
        "avg_latency_ms", "avg_confidence",
    } <= set(data["house_performance"]["ezra"])  # fmt: skip
    assert {
        "house", "tool", "total", "ok", "error", "timeout", "blocked", "cancelled", "rejected",
        "unknown", "latency_ms",
    } <= set(data["tools"][0])  # fmt: skip
    assert set(data["tools"][0]["latency_ms"]) == {"p50", "p95"}
    assert set(data["learning_velocity"]) == {
        "recent_success_rate", "previous_success_rate", "improvement", "interval", "velocity",
    }  # fmt: skip
    assert set(data["prediction_scores"]) == {
        "brier", "log_loss", "baseline_brier", "coverage", "calibration", "samples", "since",
    }  # fmt: skip
    assert set(data["ingest"]) == {
        "sessions", "executions", "duplicates", "skipped", "files_failed", "files_ignored", "by_source",
    }  # fmt: skip
    assert data["timestamp"] == "2026-11-22T23:40:00.000Z"


def test_every_outcome_is_counted_and_only_three_are_rated(row: Row) -> None:
    rows = [
        row("ezra", "t", ok=3, error=1, blocked=5, cancelled=6, rejected=7, unknown=8),
        row("ezra", "t", model="qwen3", timeout=2),
    ]

    report = build(ReportInput(at=AT, counts=rows))

    (tool,) = report.tools
    assert tool.total == report.house_performance["ezra"].total_executions == 32
    assert tool.success_rate == report.house_performance["ezra"].success_rate == 0.5
    assert tool.interval is not None
    assert tool.interval[0] < 0.5 < tool.interval[1]
    assert report.house_performance["ezra"].successes == 3


def test_a_house_without_data_has_no_rate_and_counts_of_zero(empty: ReportInput) -> None:
    house = build(empty).house_performance["timmy"]

    assert (house.total_executions, house.successes, house.turns) == (0, 0, 0)
    assert house.success_rate is None
    assert house.interval is None
    assert house.avg_latency_ms is None
    assert house.avg_confidence is None


def test_calls_that_were_only_blocked_give_no_rate(row: Row) -> None:
    report = build(ReportInput(at=AT, counts=[row("ezra", "t", blocked=9)]))

    assert report.tools[0].total == 9
    assert report.tools[0].success_rate is None


def test_a_rejected_call_counts_against_the_model_not_the_tool(row: Row) -> None:
    report = build(ReportInput(at=AT, counts=[row("ezra", "t", ok=1, rejected=1)]))

    assert report.tools[0].success_rate == 1.0
    assert report.models[0].success_rate == 0.5


def test_calls_without_a_known_model_are_no_model(row: Row) -> None:
    report = build(ReportInput(at=AT, counts=[row("ezra", "t", model="", ok=1)]))

    assert report.models == []
    assert report.tools[0].total == 1


def test_latency_comes_from_the_histograms_together(row: Row) -> None:
    rows = [
        row("ezra", "t", ok=90, latency_ms=10.0),
        row("ezra", "t", model="m", ok=10, latency_ms=5_000.0),
    ]

    report = build(ReportInput(at=AT, counts=rows))

    latency = report.tools[0].latency_ms
    assert latency.p50 == pytest.approx(10.0, rel=0.35)
    assert latency.p95 == pytest.approx(5_000.0, rel=0.35)
    assert report.house_performance["ezra"].avg_latency_ms == pytest.approx(509.0)


def test_tools_stand_by_calls_and_models_by_task(row: Row) -> None:
    rows = [
        row("b", "few", task="test", ok=1),
        row("b", "many", task="build", ok=9),
        row("a", "few", task="build", model="m", ok=1),
    ]

    report = build(ReportInput(at=AT, counts=rows))

    assert [(t.house, t.tool) for t in report.tools] == [("b", "many"), ("a", "few"), ("b", "few")]
    assert [(m.task_type, m.total) for m in report.models] == [
        ("build", 9),
        ("build", 1),
        ("test", 1),
    ]


def test_only_breakers_that_are_not_closed_are_listed(busy: Callable[..., ReportInput]) -> None:
    assert [b["state"] for b in build(busy()).breakers] == ["open", "half_open"]


def test_tokens_and_cost_come_from_the_performance_over_all_time(
    busy: Callable[..., ReportInput],
) -> None:
    models = {model.model: model for model in build(busy("qwen3")).models}

    assert (models["qwen3"].avg_tokens, models["qwen3"].cost_per_call) == (1_200.0, 0.002)
    assert models["hermes3:8b"].avg_tokens is None


def test_json_is_ascii_whatever_a_session_was_named(busy: Callable[..., ReportInput]) -> None:
    text = to_json(build(busy("\x1b[31m\u202e\x9b\ud83d")))

    assert text.isascii()
    assert text.isprintable()
