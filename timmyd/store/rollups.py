"""Hour buckets: executions folded by what they were, so that no tick ever reads executions."""

import math
from collections.abc import Iterable, Sequence

from timmyd.house.outcome import OUTCOMES, RATED

HOUR_S = 3600.0
BINS = 40
_FIRST_MS = 1.0
_PER_DECADE = 8

HOUR_COLUMNS = (*OUTCOMES, "latency_n", "latency_ms", "confidence_n", "confidence")
"""What a bucket adds up: a count for each outcome, then sums (milliseconds; shares)."""

_OUTCOME_INDEX = {name: index for index, name in enumerate(OUTCOMES)}
_LATENCY = len(OUTCOMES)
_CONFIDENCE = _LATENCY + 2


def latency_bin(latency_ms: float) -> int:
    """The bin of the log-scale histogram, eight to a decade from 1 ms; the ends hold the rest."""
    if latency_ms <= _FIRST_MS:
        return 0
    return min(BINS - 1, 1 + int(_PER_DECADE * math.log10(latency_ms / _FIRST_MS)))


def bin_top_ms(index: int) -> float:
    """The upper edge of a bin in milliseconds."""
    return _FIRST_MS * math.pow(10.0, index / _PER_DECADE)


def quantile_ms(histogram: Sequence[int], share: float) -> float | None:
    """The latency below which `share` of the calls lie, interpolated in its bin; None without calls.

    Args:
        histogram: Counts by `latency_bin`.
        share: In (0, 1).
    """
    total = sum(histogram)
    if total <= 0:
        return None
    wanted = share * total
    below = 0
    for index, count in enumerate(histogram):
        if count > 0 and below + count >= wanted:
            low = bin_top_ms(index - 1) if index else 0.0
            return low + (bin_top_ms(index) - low) * max(0.0, wanted - below) / count
        below += count
    return bin_top_ms(BINS - 1)


class HourFold:
    """Adds executions up by (hour, combo) before they are written: one UPSERT a key, not a call."""

    __slots__ = ("buckets", "histogram")

    def __init__(self) -> None:
        self.buckets: dict[tuple[int, int], list[float]] = {}
        self.histogram: dict[tuple[int, int, int], int] = {}

    def add(
        self,
        *,
        at: float,
        combo: int,
        outcome: str,
        latency_ms: float | None,
        confidence: float | None,
        sign: int = 1,
    ) -> None:
        """Add one execution, or with `sign` -1 take back one that was judged anew."""
        key = (int(at // HOUR_S), combo)
        bucket = self.buckets.get(key)
        if bucket is None:
            bucket = self.buckets[key] = [0] * len(HOUR_COLUMNS)
        bucket[_OUTCOME_INDEX[outcome]] += sign
        if latency_ms is not None:
            bucket[_LATENCY] += sign
            bucket[_LATENCY + 1] += sign * latency_ms
            place = (*key, latency_bin(latency_ms))
            self.histogram[place] = self.histogram.get(place, 0) + sign
        if confidence is not None:
            bucket[_CONFIDENCE] += sign
            bucket[_CONFIDENCE + 1] += sign * confidence

    def hour_rows(self) -> list[tuple[float, ...]]:
        """Rows for the `hours` table."""
        return [(*key, *bucket) for key, bucket in self.buckets.items()]

    def latency_rows(self) -> list[tuple[int, ...]]:
        """Rows for the `latencies` table."""
        return [(*key, n) for key, n in self.histogram.items() if n]


def rated(outcomes: Iterable[tuple[str, int]]) -> int:
    """How many of the counted outcomes a success rate is made of."""
    return sum(n for name, n in outcomes if name in RATED)
