"""Reads from the engine what moves and what needs attention; `status`, `report` and the page take it from here."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from timmyd.core.model import iso
from timmyd.engine import IntelligenceEngine
from timmyd.house.units import DAY_S
from timmyd.report.attention import attention
from timmyd.report.attention_types import Attention, AttentionInput
from timmyd.report.rhythm import HOURS, Day, days
from timmyd.store.trends import DayCount, HourCount

SHOWN_DAYS = 28
"""How far back trends reach."""

_MOST_TOOLS = 80
_MOST_MODELS = 20


def needs_attention(
    engine: IntelligenceEngine,
    *,
    rows: Sequence[HourCount] | None = None,
    document: Mapping[str, Any] | None = None,
) -> list[Attention]:
    """The one list, worst first.

    Args:
        engine: Over the database.
        rows: Counts by the hour of the last `SHOWN_DAYS`; None reads them.
        document: The policy as it would be published now; None makes it.

    Raises:
        StoreError: The database cannot be read.
    """
    now = engine.clock()
    database = engine.database
    if rows is None:
        rows = database.by_hour(now - SHOWN_DAYS * DAY_S)
    if document is None:
        document = engine.policy_document(revision=engine.revision, now=now)
    return attention(
        AttentionInput(
            at=now,
            rows=rows,
            document=document,
            status=json.loads(database.state("status") or b"{}"),
            failing=[
                {"file": row.path.decode("utf-8", "backslashreplace"), "reason": row.reason}
                for row in database.files(("failed",))
            ],
            offset_s=offset_of(engine.settings.clock.zone),
            iso=iso,
        )
    )


def offset_of(zone: str) -> Callable[[float], float]:
    """Seconds that local time is ahead of UTC, at a time, in the zone of the settings."""
    known = None if zone == "system" else ZoneInfo(zone)

    @lru_cache(maxsize=4_096)  # asked for every row, of which many are of one hour
    def offset_s(at: float) -> float:
        moment = datetime.fromtimestamp(at, UTC).astimezone(known)
        offset = moment.utcoffset()
        return 0.0 if offset is None else offset.total_seconds()

    return offset_s


def trends(
    rows: Sequence[HourCount], models: Iterable[DayCount], *, now: float
) -> dict[str, Sequence[Day]]:
    """Success by the day over `SHOWN_DAYS`: of every house, of the busiest tools and models."""
    last = int(now // DAY_S)
    span = {"first": last - SHOWN_DAYS + 1, "last": last}
    by_house: dict[str, list[HourCount]] = {}
    by_tool: dict[str, list[HourCount]] = {}
    by_model: dict[str, list[HourCount]] = {}
    for row in rows:
        by_house.setdefault(row.house, []).append(row)
        by_tool.setdefault(f"{row.house}/{row.tool}", []).append(row)
    for one in models:
        count = HourCount(one.day * HOURS, "", "", one.ok, one.rated, one.rated, 0, 0.0)
        by_model.setdefault(f"model:{one.model}", []).append(count)
    chosen = [
        *by_house.items(),
        *_busiest(by_tool, _MOST_TOOLS),
        *_busiest(by_model, _MOST_MODELS),
    ]
    return {name: days(counts, **span) for name, counts in chosen}


def _busiest(groups: Mapping[str, list[HourCount]], most: int) -> list[tuple[str, list[HourCount]]]:
    return sorted(groups.items(), key=lambda item: (-sum(row.calls for row in item[1]), item[0]))[
        :most
    ]
