"""Which calls fell back to timmy: what was published when says it, since no source does."""

from bisect import bisect_right
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from timmyd.house.keys import FALLBACK_HOUSE

KEY: Final = "routing.fallback_to_timmy_threshold"
_MOST_KEPT: Final = 64


class _Stage(msgspec.Struct, array_like=True, gc=False):
    """From `at` on, Unix seconds, and under `revision` on once it is known, `tools` fall back.

    On trial, `tools` are those that fall back under one of the two values and not under the other.
    """

    at: float
    tools: list[str]
    on_trial: bool
    revision: int | None = None


class Fallbacks(msgspec.Struct, kw_only=True):
    """Tells of a call whether it fell back, by the policy that was in force for it.

    Outside a trial that is a call in timmy of a tool whose best house is another one, predicted
    below the threshold. While the threshold is on trial the calls of one arm must be compared with
    the calls of the other that they would have been: all calls of the tools that the two values send
    to different houses, wherever they ran, the tools being those of the trial's beginning. Calls in
    timmy alone would be other tools in either arm, and no evidence.

    Attributes:
        stages: What fell back when, oldest first.
        trial_at: When the trial of the last stage began; None outside of one.
    """

    stages: list[_Stage] = []
    trial_at: float | None = None

    def note(
        self,
        now: float,
        routes: Mapping[str, Mapping[str, Any]],
        predictions: Mapping[str, Mapping[str, Mapping[str, Any]]],
        *,
        values: tuple[float, ...],
        trial_at: float | None,
        keep_s: float,
    ) -> None:
        """Note which tools fall back from now on.

        Args:
            now: Unix seconds.
            routes: As published: the best house of each tool, with its confidence.
            predictions: As published: by house and tool.
            values: The threshold in force, or during a trial of it the old and the new one.
            trial_at: When that trial began, Unix seconds; None without one.
            keep_s: For how long calls may come in late.
        """
        if trial_at is not None and trial_at == self.trial_at:
            return
        self.trial_at = trial_at
        falling = {
            value: [
                tool
                for tool, route in sorted(routes.items())
                if _falls(tool, route, predictions, value)
            ]
            for value in values
        }
        tools = falling[max(values)]
        if trial_at is not None:
            spared = set(falling[min(values)])
            tools = [tool for tool in tools if tool not in spared] or tools
        last = self.stages[-1] if self.stages else None
        if last is None or (last.tools, last.on_trial) != (tools, trial_at is not None):
            self.stages.append(_Stage(now, tools, trial_at is not None))
        while len(self.stages) > 1 and (
            self.stages[1].at < now - keep_s or len(self.stages) > _MOST_KEPT
        ):
            del self.stages[0]

    def published(self, revision: int) -> None:
        """What was noted last goes out under this revision."""
        if self.stages and self.stages[-1].revision is None:
            self.stages[-1].revision = revision

    def tell(self, *, tool: str, house: str, at: float, revision: int | None) -> bool | None:
        """Whether a call fell back; None where nothing is known of its time.

        Args:
            tool: What was called.
            house: Where it ran.
            at: When, Unix seconds.
            revision: The policy that was in force; None where only the time tells.
        """
        stage = self._under(revision) or self._since(at)
        if stage is None:
            return None
        return tool in stage.tools and (stage.on_trial or house == FALLBACK_HOUSE)

    def _under(self, revision: int | None) -> _Stage | None:
        if revision is None:
            return None
        known = (s for s in reversed(self.stages) if s.revision is not None)
        return next((s for s in known if (s.revision or 0) <= revision), None)

    def _since(self, at: float) -> _Stage | None:
        index = bisect_right(self.stages, at, key=_began)
        return self.stages[index - 1] if index else None


def _began(stage: _Stage) -> float:
    return stage.at


def _falls(
    tool: str,
    route: Mapping[str, Any],
    predictions: Mapping[str, Mapping[str, Mapping[str, Any]]],
    threshold: float,
) -> bool:
    """Whether a house that reads this goes to timmy, as `house.reader.get_optimal_house` does."""
    house = str(route["house"])
    known = predictions.get(house, {}).get(tool)
    predicted = route["confidence"] if known is None else known["success"]
    return house != FALLBACK_HOUSE and float(predicted) < threshold
