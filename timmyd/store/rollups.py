"""What executions add up to, by hour, pattern and model, so that no tick ever reads executions."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from timmyd.house.outcome import OUTCOMES, RATED
from timmyd.house.units import HOUR_S

BINS = 40
_FIRST_MS = 1.0
_PER_DECADE = 8

HOUR_COLUMNS = (*OUTCOMES, "latency_n", "latency_ms", "confidence_n", "confidence")
"""What a bucket adds up: a count for each outcome, then sums (milliseconds; shares)."""

_OK = OUTCOMES.index("ok")
_RATED_PLACES = frozenset(OUTCOMES.index(name) for name in RATED)
_ANSWERED_PLACES = (*_RATED_PLACES, OUTCOMES.index("rejected"))
_LATENCY = len(OUTCOMES)
_CONFIDENCE = _LATENCY + 2
_NO_COSTS = [None] * 4


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


class Fold:
    """Adds executions up before they are written: one UPSERT a key, not three an execution.

    Rows are those of the `executions` table (`rows.to_row`); their outcomes are places in `OUTCOMES`.
    """

    __slots__ = ("_costs", "_hours", "_latencies", "_patterns")

    def __init__(self) -> None:
        self._hours: dict[tuple[float, int], list[float]] = {}
        self._latencies: dict[tuple[float, int, int], int] = {}
        self._patterns: dict[tuple[int, int], list[float]] = {}
        self._costs: dict[int, list[float]] = {}

    def add(self, rows: Iterable[tuple[Any, ...]], sign: int = 1) -> None:
        """Add executions, or with `sign` -1 take back such as were judged anew."""
        hours, patterns = self._hours, self._patterns
        for row in rows:
            _, at, _, combo, signature, outcome, _, _, _, _, latency_ms, confidence, *costs = row
            hour = at // HOUR_S
            bucket = hours.get((hour, combo))
            if bucket is None:
                bucket = hours[hour, combo] = [0] * len(HOUR_COLUMNS)
            bucket[outcome] += sign
            total = patterns.get((combo, signature))
            if total is None:
                total = patterns[combo, signature] = [0, 0, 0, 0, 0.0, 0, 0.0, at]
            total[0] += sign
            if outcome in _RATED_PLACES:
                total[1] += sign
                if outcome == _OK:
                    total[2] += sign
            if at > total[7]:  # noqa: PLR1730 - cheaper than a call, and this is the hot path
                total[7] = at
            if latency_ms is not None:
                bucket[_LATENCY] += sign
                bucket[_LATENCY + 1] += sign * latency_ms
                total[3] += sign
                total[4] += sign * latency_ms
                place = (hour, combo, latency_bin(latency_ms))
                self._latencies[place] = self._latencies.get(place, 0) + sign
            if confidence is not None:
                bucket[_CONFIDENCE] += sign
                bucket[_CONFIDENCE + 1] += sign * confidence
                total[5] += sign
                total[6] += sign * confidence
            if costs != _NO_COSTS:
                self._add_costs(combo, costs, sign)

    def _add_costs(self, combo: int, costs: Sequence[Any], sign: int) -> None:
        tokens_in, tokens_out, cost = costs[:3]
        total = self._costs.setdefault(combo, [0, 0, 0, 0.0])
        if tokens_in is not None or tokens_out is not None:
            total[0] += sign
            total[1] += sign * ((tokens_in or 0) + (tokens_out or 0))
        if cost is not None:
            total[2] += sign
            total[3] += sign * cost

    def hour_rows(self) -> list[tuple[float, ...]]:
        """Rows for the `hours` table."""
        return [(int(hour), combo, *sums) for (hour, combo), sums in self._hours.items()]

    def latency_rows(self) -> list[tuple[int, ...]]:
        """Rows for the `latencies` table."""
        return [(int(h), combo, bin_, n) for (h, combo, bin_), n in self._latencies.items() if n]

    def pattern_rows(self) -> list[tuple[float, ...]]:
        """Rows for the `patterns` table, in its order."""
        return [(*key, *total) for key, total in sorted(self._patterns.items())]

    def model_rows(self, name_of: Callable[[int], tuple[str, str]]) -> list[tuple[object, ...]]:
        """Rows for the `models` table.

        Args:
            name_of: The model of a combo, `""` where it is unknown, and its task type.
        """
        models: dict[tuple[str, str], list[float]] = {}
        combos: dict[int, list[float]] = {}
        for (_, combo), sums in self._hours.items():
            total = combos.get(combo)
            if total is None:
                total = combos[combo] = models.setdefault(name_of(combo), [0] * 9 + [0.0])
            total[0] += sum(sums[:_LATENCY])
            total[1] += sum(sums[place] for place in _ANSWERED_PLACES)
            total[2] += sums[_OK]
            total[3] += sums[_LATENCY]
            total[4] += sums[_LATENCY + 1]
        for combo, costs in self._costs.items():
            combos[combo][5:9] = (a + b for a, b in zip(combos[combo][5:9], costs, strict=True))
        for (combo, _), pattern in self._patterns.items():
            combos[combo][9] = max(combos[combo][9], pattern[7])
        return [(*name, *total) for name, total in models.items() if name[0]]


def rated(outcomes: Iterable[tuple[str, int]]) -> int:
    """How many of the counted outcomes a success rate is made of."""
    return sum(n for name, n in outcomes if name in RATED)
