"""Reads from the engine what the report is made of, at one instant."""

import json
import math
from typing import Any

import msgspec

from timmyd.core.model import iso
from timmyd.engine import IntelligenceEngine
from timmyd.engine.ingest import prices_of
from timmyd.house.units import DAY_S
from timmyd.report.data import (
    IngestCounts,
    PredictionScores,
    Report,
    ReportInput,
    SourceState,
    VelocityFigures,
    build,
)
from timmyd.report.moving import SHOWN_DAYS, needs_attention, offset_of, trends
from timmyd.report.rhythm import week

_RECENT = 20


def collect(engine: IntelligenceEngine, *, days: float | None = 7.0) -> Report:
    """The report over the last `days` days, or with None over all that is kept.

    Raises:
        StoreError: The database cannot be read.
    """
    now = engine.clock()
    database = engine.database
    since = 0.0 if days is None else now - days * DAY_S
    counters = database.counters()
    failed = database.files(("failed",))
    sources: dict[tuple[str, str], list[float]] = {}
    for row in database.files():
        sources.setdefault((row.house, row.source), []).append(row.read_at)
    status = json.loads(database.state("status") or b"{}")
    document = engine.policy_document(revision=engine.revision, now=now)
    hours = database.by_hour(now - SHOWN_DAYS * DAY_S)
    given = ReportInput(
        at=now,
        period_days=days,
        houses=database.houses(),
        counts=database.tool_counts(since),
        turns=database.turn_counts(since),
        models=database.get_model_performance(),
        usage=database.usage(since, prices_of(engine.settings)),
        providers=database.providers(since),
        document=document,
        attention=needs_attention(engine, rows=hours, document=document),
        trends=trends(hours, database.models_by_day(now - SHOWN_DAYS * DAY_S), now=now),
        week=week(hours, offset_of(engine.settings.clock.zone)),
        adaptations=database.get_adaptations(_RECENT),
        velocity=msgspec.convert(_known(engine.velocity(now)), VelocityFigures),
        accuracy=_number(engine.prediction_accuracy(now)),
        scores=msgspec.convert(engine.accuracy(), PredictionScores),
        ingest=IngestCounts(
            sessions=database.lineages(),
            executions=counters.get("executions", 0),
            duplicates=counters.get("duplicates", 0),
            skipped=database.skipped(),
            files_failed=len(failed),
            files_ignored=int(status.get("ignored", 0)),
            by_source={
                name.removeprefix("source."): n
                for name, n in sorted(counters.items())
                if name.startswith("source.")
            },
        ),
        sources=[
            SourceState(
                house=house,
                source=source,
                files=len(reads),
                last_read=iso(max(reads, default=None)),
            )
            for (house, source), reads in sorted(sources.items())
        ],
    )
    return build(given)


def _known(found: dict[str, Any]) -> dict[str, Any]:
    return {**found, "improvement": _number(found["improvement"])}


def _number(value: float) -> float | None:
    """None for the nan by which callers of the original format the unknown."""
    return None if math.isnan(value) else value
