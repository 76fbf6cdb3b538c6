"""PURE: the intelligence report as data: figures from the store and the policy, put in one order (CONTRACT §5)."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from timmyd.core.model import AdaptationEvent, ModelPerformance, iso
from timmyd.report.attention_types import Attention
from timmyd.report.rhythm import Day
from timmyd.report.tally import INTERVAL, Model, Tool, by_outcome, grouped, mean, success, tally
from timmyd.store.queries import ToolCount
from timmyd.store.usage import ModelUsage, ProviderRequests


class HousePerformance(msgspec.Struct, frozen=True, kw_only=True):
    """A house; the fields of the original, and what they are made of."""

    house: str
    period_days: float | None
    total_executions: int
    successes: int
    success_rate: float | None
    interval: tuple[float, float] | None
    avg_latency_ms: float | None
    avg_confidence: float | None
    outcomes: Mapping[str, int]
    turns: int
    turns_completed: int


class VelocityFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The last days against those before. `velocity`: accelerating, stable, declining; None: too little."""

    recent_success_rate: float | None = None
    previous_success_rate: float | None = None
    improvement: float | None = None
    interval: tuple[float, float] | None = None
    velocity: str | None = None


class CalibrationBin(msgspec.Struct, frozen=True, kw_only=True):
    """Predictions that said about the same: what they said on average, and what happened."""

    predicted: float
    observed: float
    samples: int


class PredictionScores(msgspec.Struct, frozen=True, kw_only=True):
    """How good predictions were, each published before its call began. None: none yet.

    Attributes:
        coverage: Share of the published 95 % intervals that held.
        since: When the first was scored, ISO.
    """

    brier: float | None = None
    log_loss: float | None = None
    baseline_brier: float | None = None
    coverage: float | None = None
    calibration: Sequence[CalibrationBin] = ()
    samples: int = 0
    since: str | None = None


class IngestCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What was taken in, over all time.

    Attributes:
        skipped: Elements that could not be used, by reason; what stood beside them was taken.
        by_source: Executions by where they were first seen.
    """

    sessions: int = 0
    executions: int = 0
    duplicates: int = 0
    skipped: Mapping[str, int] = msgspec.field(default_factory=dict)
    files_failed: int = 0
    files_ignored: int = 0
    by_source: Mapping[str, int] = msgspec.field(default_factory=dict)


class SourceState(msgspec.Struct, frozen=True, kw_only=True):
    """A source of a house: how many files it had, when the last was read (ISO), what is wrong with it."""

    house: str
    source: str
    files: int = 0
    last_read: str | None = None
    note: str | None = None


class ReportInput(msgspec.Struct, frozen=True, kw_only=True):
    """All that the report is made of, read at one instant.

    Attributes:
        at: Unix seconds.
        period_days: How far `counts` and `turns` reach back; None: all that is kept.
        houses: All known houses, also those without a call.
        counts: Sums by house, tool, shape, model and task type.
        turns: (turns, completed turns) by house.
        models: Performance over all time, for tokens and cost.
        usage: Tokens and money by house and model, of sessions at work in the period.
        providers: What came of the requests to each provider, the most failures first.
        document: The policy document as it would be published now (CONTRACT §3).
        adaptations: Newest first.
        attention: What needs attention, worst first.
        trends: Success by the day: of a house by its name, of a tool as `house/tool`, of a model as `model:NAME`.
        week: Success by weekday (Monday first) and local hour.
    """

    at: float
    period_days: float | None = 7.0
    houses: Sequence[str] = ()
    counts: Sequence[ToolCount] = ()
    turns: Mapping[str, tuple[int, int]] = msgspec.field(default_factory=dict)
    models: Sequence[ModelPerformance] = ()
    usage: Sequence[ModelUsage] = ()
    providers: Sequence[ProviderRequests] = ()
    document: Mapping[str, Any] = msgspec.field(default_factory=dict)
    adaptations: Sequence[AdaptationEvent] = ()
    velocity: VelocityFigures = VelocityFigures()
    accuracy: float | None = None
    scores: PredictionScores = PredictionScores()
    ingest: IngestCounts = IngestCounts()
    sources: Sequence[SourceState] = ()
    attention: Sequence[Attention] = ()
    trends: Mapping[str, Sequence[Day]] = msgspec.field(default_factory=dict)
    week: Sequence[Sequence[float | None]] = ()


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The intelligence report. Encoded by msgspec it is what `report --json` prints.

    Attributes:
            revision: Of the policy; 0 before the first.
            models: By task type, then calls; `choices` and `routes` are what is published of them.
            breakers: Those that are not closed.
        prediction_accuracy: The original's: mean of 1 - |predicted - outcome| over seven days.
        attention: What needs attention, worst first; the same list as in `status` and on the page.
        trends: Success by the day, as in `ReportInput`.
        week: Success by weekday (Monday first) and local hour; empty where the hours are not known.
    """

    timestamp: str | None
    period_days: float | None
    interval_method: str = INTERVAL
    revision: int
    mode: str | None
    data_through: str | None
    house_performance: Mapping[str, HousePerformance]
    tools: Sequence[Tool]
    models: Sequence[Model]
    usage: Sequence[ModelUsage]
    providers: Sequence[ProviderRequests]
    choices: Mapping[str, Mapping[str, Any]]
    routes: Mapping[str, Mapping[str, Any]]
    current_policies: Mapping[str, Mapping[str, float]]
    why: Mapping[str, Mapping[str, Any]]
    trials: Sequence[Mapping[str, Any]]
    breakers: Sequence[Mapping[str, Any]]
    recent_adaptations: Sequence[AdaptationEvent]
    learning_velocity: VelocityFigures
    prediction_accuracy: float | None
    prediction_scores: PredictionScores
    ingest: IngestCounts
    sources: Sequence[SourceState]
    attention: Sequence[Attention] = ()
    trends: Mapping[str, Sequence[Day]] = msgspec.field(default_factory=dict)
    week: Sequence[Sequence[float | None]] = ()


def build(given: ReportInput) -> Report:
    """Put the report together."""
    document = given.document
    tools = [
        Tool(house=house, tool=tool, **tally(rows))
        for (house, tool), rows in grouped(given.counts, lambda row: (row.house, row.tool))
    ]
    return Report(
        timestamp=iso(given.at),
        period_days=given.period_days,
        revision=document.get("revision", 0),
        mode=document.get("mode"),
        data_through=document.get("data_through"),
        house_performance=_houses(given),
        tools=sorted(tools, key=_by_trouble),
        models=_models(given),
        usage=given.usage,
        providers=given.providers,
        choices=document.get("models", {}),
        routes=document.get("routes", {}),
        current_policies=document.get("policies", {}),
        why=document.get("why", {}),
        trials=document.get("trials", ()),
        breakers=[b for b in document.get("breakers", ()) if b.get("state") != "closed"],
        recent_adaptations=given.adaptations,
        learning_velocity=given.velocity,
        prediction_accuracy=given.accuracy,
        prediction_scores=given.scores,
        ingest=given.ingest,
        sources=given.sources,
        attention=given.attention,
        trends=given.trends,
        week=given.week,
    )


def _by_trouble(tool: Tool) -> tuple[int, int, str, str]:
    """Most failures first, then most calls."""
    return -(tool.error + tool.timeout), -tool.total, tool.house, tool.tool


def to_json(report: Report) -> str:
    """What `report --json` prints. ASCII only, so that no name from a session can act on a terminal."""
    return json.dumps(msgspec.to_builtins(report), ensure_ascii=True, allow_nan=False)


def _houses(given: ReportInput) -> dict[str, HousePerformance]:
    by_house = {house: rows for (house,), rows in grouped(given.counts, lambda row: (row.house,))}
    found: dict[str, HousePerformance] = {}
    for house in sorted({*given.houses, *by_house}):
        rows = by_house.get(house, [])
        outcomes = by_outcome(rows)
        rate, interval = success(outcomes)
        turns, completed = given.turns.get(house, (0, 0))
        found[house] = HousePerformance(
            house=house,
            period_days=given.period_days,
            total_executions=sum(outcomes.values()),
            successes=outcomes["ok"],
            success_rate=rate,
            interval=interval,
            avg_latency_ms=mean(rows, lambda row: (row.latency_ms, row.latency_n)),
            avg_confidence=mean(rows, lambda row: (row.confidence, row.confidence_n)),
            outcomes=outcomes,
            turns=turns,
            turns_completed=completed,
        )
    return found


def _models(given: ReportInput) -> list[Model]:
    ever = {(model.model, model.task_type): model for model in given.models}
    named = [row for row in given.counts if row.model]
    found: list[Model] = []
    for (model, task), rows in grouped(named, lambda row: (row.model, row.task)):
        known = ever.get((model, task))
        found.append(
            Model(
                model=model,
                task_type=task,
                avg_tokens=known.avg_tokens if known else None,
                cost_per_call=known.cost_per_call if known else None,
                **tally(rows, against=("rejected",)),
            )
        )
    return sorted(found, key=lambda item: (item.task_type, -item.total, item.model))
