"""PURE: sums of the store added up to calls by outcome, a success rate with its interval, latency quantiles."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from timmyd.core.detect import wilson_interval
from timmyd.house.outcome import OUTCOMES, RATED
from timmyd.store.queries import ToolCount
from timmyd.store.rollups import quantile_ms

INTERVAL = "Wilson, 95 %, as if calls were independent; for display, no decision rests on it"


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Quantiles in milliseconds, from a histogram of eight bins a decade; None while unknown."""

    p50: float | None = None
    p95: float | None = None


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """Calls by outcome. `total` counts every one; the rate is ok of ok, error and timeout."""

    total: int = 0
    ok: int = 0
    error: int = 0
    timeout: int = 0
    blocked: int = 0
    cancelled: int = 0
    rejected: int = 0
    unknown: int = 0
    success_rate: float | None = None
    interval: tuple[float, float] | None = None
    latency_ms: Latency = Latency()


class Tool(Tally, frozen=True, kw_only=True):
    """A tool in a house."""

    house: str
    tool: str


class Model(Tally, frozen=True, kw_only=True):
    """A model at a type of task; calls that it spoilt (`rejected`) count against it.

    Attributes:
        avg_tokens: A call, over all time; None while unknown.
        cost_per_call: Over all time; None without a price.
    """

    model: str
    task_type: str
    avg_tokens: float | None = None
    cost_per_call: float | None = None


Key = tuple[str, ...]


def grouped(
    rows: Iterable[ToolCount], key: Callable[[ToolCount], Key]
) -> list[tuple[Key, list[ToolCount]]]:
    """The rows by key, in the order of the keys."""
    groups: dict[Key, list[ToolCount]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return sorted(groups.items())


def by_outcome(rows: Iterable[ToolCount]) -> dict[str, int]:
    """Calls by outcome, all seven, also those without a call."""
    totals = dict.fromkeys(OUTCOMES, 0)
    for row in rows:
        for name, count in zip(OUTCOMES, row.counts, strict=True):
            totals[name] += count
    return totals


def success(
    outcomes: Mapping[str, int], against: Sequence[str] = ()
) -> tuple[float | None, tuple[float, float] | None]:
    """The success rate with its interval; None while no call can be rated.

    Args:
        outcomes: Calls by outcome.
        against: Outcomes that count as failures beside error and timeout.
    """
    rated = sum(outcomes[name] for name in (*RATED, *against))
    if rated == 0:
        return None, None
    low, high = wilson_interval(outcomes["ok"], rated)
    return outcomes["ok"] / rated, (low, high)


def tally(rows: Sequence[ToolCount], *, against: Sequence[str] = ()) -> dict[str, Any]:
    """The fields of a Tally over the rows; `against` as in `success`."""
    outcomes = by_outcome(rows)
    rate, interval = success(outcomes, against)
    bins = max((len(row.histogram) for row in rows), default=0)
    histogram = [
        sum(row.histogram[index] for row in rows if index < len(row.histogram))
        for index in range(bins)
    ]
    return {
        "total": sum(outcomes.values()),
        **outcomes,
        "success_rate": rate,
        "interval": interval,
        "latency_ms": Latency(p50=quantile_ms(histogram, 0.5), p95=quantile_ms(histogram, 0.95)),
    }


def mean(rows: Iterable[ToolCount], sums: Callable[[ToolCount], tuple[float, int]]) -> float | None:
    """The mean of a sum over its number; None where there is none."""
    totals = [sums(row) for row in rows]
    count = sum(n for _, n in totals)
    return sum(total for total, _ in totals) / count if count else None
