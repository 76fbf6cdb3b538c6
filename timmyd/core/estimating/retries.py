"""PURE: how likely a call succeeds after it failed k times with the same arguments, learned per house, tool and shape."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from timmyd.core.model import Execution
from timmyd.house.outcome import RATED
from timmyd.house.retries import HOPELESS, bounds

MOST_FAILURES: Final = 8
"""Curves are kept for 1 to this many identical failures; more count as this many."""

KEPT: Final = 400.0
"""Samples after which an older one counts half (exponential forgetting per curve and k)."""

TOGETHER_S: Final = 1_800.0
"""Seconds between two identical calls of a session after which the second is no repeat of the first."""

_MOST_SESSIONS: Final = 2_000
_MOST_CALLS: Final = 64
_MOST_CURVES: Final = 4_000
_DECAY: Final = 0.5 ** (1.0 / KEPT)
_FEW: Final = 3.0
_LEAST_LIMIT: Final = 2
_BUILD: Final = "build"

Curve = list[tuple[float, float]]
"""Of each k from 1 on: successes and samples, with forgetting."""


class RetryCurves(msgspec.Struct):
    """Counts by house, tool and shape; `sessions` remembers which calls have just failed, and how often.

    Attributes:
        curves: By house, tool and shape, NUL between them; the shape is empty for the whole tool.
        sessions: Of each session lately at work, by tool and signature: failures in a row, and when the last was.
    """

    curves: dict[str, Curve] = {}
    sessions: dict[int, dict[str, tuple[int, float]]] = {}

    def learn(self, execution: Execution) -> bool:
        """Take a call in, in event order.

        Returns:
            Whether it was wasted: it failed, as the same call had at least twice just before, where trying again
            is hopeless by what the house has shown. Those are the calls that a lower `retry_limit` saves.
        """
        if execution.outcome not in RATED:
            return False
        calls = self._calls(execution.session or -execution.id)
        call = f"{execution.tool}\0{execution.signature}"
        failures, last_at = calls.pop(call, (0, execution.at))
        if execution.at - last_at > TOGETHER_S:
            failures = 0
        ok = execution.outcome == "ok"
        wasted = not ok and failures >= _LEAST_LIMIT and self._is_hopeless(execution, failures)
        if failures:
            for shape in ("", execution.shape):
                self._count(f"{execution.house}\0{execution.tool}\0{shape}", failures, ok=ok)
        if not ok:
            calls[call] = (failures + 1, execution.at)
            _bound(calls, _MOST_CALLS)
        elif execution.task_type == _BUILD:
            calls.clear()
        return wasted

    def _is_hopeless(self, execution: Execution, failures: int) -> bool:
        """By the upper bound of P(success) now or at a later try, as a house asks it."""
        curve = self.curves.get(f"{execution.house}\0{execution.tool}\0{execution.shape}", [])
        first = min(failures, MOST_FAILURES, max(1, len(curve)))
        ends = [bounds(*pair, k)[1] for k, pair in enumerate(curve[first - 1 :], first)]
        return max(ends, default=1.0) < HOPELESS

    def _calls(self, session: int) -> dict[str, tuple[int, float]]:
        calls = self.sessions.pop(session, None)
        self.sessions[session] = calls = {} if calls is None else calls
        _bound(self.sessions, _MOST_SESSIONS)
        return calls

    def _count(self, key: str, failures: int, *, ok: bool) -> None:
        curve = self.curves.pop(key, None) or []
        self.curves[key] = curve
        _bound(self.curves, _MOST_CURVES)
        at = min(failures, MOST_FAILURES) - 1
        curve.extend([(0.0, 0.0)] * (at + 1 - len(curve)))
        successes, samples = curve[at]
        curve[at] = successes * _DECAY + ok, samples * _DECAY + 1.0

    def published(self, houses: Iterable[str], limits: Mapping[str, float]) -> dict[str, Any]:
        """What the policy says of the houses of one owner, who pool: house → tool → curve, and by shape.

        Args:
            houses: All of them have one owner.
            limits: The `retry_limit` in force, by house.
        """
        names = set(houses)
        pooled: dict[tuple[str, str], Curve] = {}
        worked: dict[str, set[str]] = {}
        for key, curve in self.curves.items():
            house, tool, shape = key.split("\0", 2)
            if house in names:
                pooled[tool, shape] = _sum(pooled.get((tool, shape), []), curve)
                worked.setdefault(house, set()).add(tool)
        tools: dict[str, dict[str, Any]] = {}
        for (tool, shape), curve in sorted(pooled.items()):
            if curve and curve[0][1] >= _FEW:
                entry = _entry(curve)
                if shape:
                    tools.setdefault(tool, {}).setdefault("shapes", {})[shape] = entry
                else:
                    tools.setdefault(tool, {}).update(entry)
        return {
            house: {
                tool: {**tools[tool], "limit": limits[house]}
                for tool in sorted(mine)
                if "after" in tools.get(tool, {})
            }
            for house, mine in sorted(worked.items())
            if house in limits
        }

    def forget(self, house: str) -> None:
        """Let go of all that a house has shown."""
        self.curves = {
            key: curve for key, curve in self.curves.items() if key.partition("\0")[0] != house
        }


def _entry(curve: Curve) -> dict[str, Any]:
    known = [(k, *pair) for k, pair in enumerate(curve, 1) if pair[1] > 0.0]
    ends = [bounds(successes, samples, k) for k, successes, samples in known]
    return {
        "after": [round(successes / samples, 4) for _, successes, samples in known],
        "low": [round(low, 4) for low, _ in ends],
        "high": [round(high, 4) for _, high in ends],
        "samples": [round(samples, 1) for _, _, samples in known],
    }


def _sum(first: Curve, second: Curve) -> Curve:
    longest = max(len(first), len(second))
    padded = [curve + [(0.0, 0.0)] * (longest - len(curve)) for curve in (first, second)]
    return [(a[0] + b[0], a[1] + b[1]) for a, b in zip(*padded, strict=True)]


def _bound(table: dict[Any, Any], most: int) -> None:
    while len(table) > most:
        table.pop(next(iter(table)))
