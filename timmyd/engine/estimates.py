"""The estimates: how likely a call succeeds, and how good that was.

Fed in event order, bounded in memory and in work: where more comes in at once than a tick affords,
whole sessions are left out, and what is older than `FRESH_S` counts only until its budget is used.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any

import msgspec

from timmyd.core.estimating.predict import Prediction, Predictor
from timmyd.core.estimating.score import Prequential, Scores
from timmyd.core.model import Execution
from timmyd.engine.names import count
from timmyd.house.outcome import RATED

FRESH_S = 6 * 3600.0
"""Seconds after which an execution is history: it feeds estimates within a budget, and no decision."""

HISTORY_MOST = 4_000
"""Executions of history that estimates start from; more of it stays in the hour buckets."""

SLICE_MOST = 2_000
"""Executions that one tick learns from at most."""

PAIRS_MOST = 300
SHAPES_MOST = 100
_FEW = 3
REJECTED = "rejected"


class _Saved(msgspec.Struct):
    predictor: bytes
    scores: bytes
    pairs: dict[str, int]
    shapes: dict[str, int]
    history_left: int
    scored_since: float | None = None


class Estimates:
    """Predictor and scores over one stream of executions."""

    def __init__(self, saved: bytes | None = None, *, zone: tzinfo | None = None) -> None:
        """Go on from what `dump` gave.

        Args:
            saved: The result of `dump`, None at first.
            zone: In which hours of the day are meant; None for the machine's own.

        Raises:
            msgspec.MsgspecError: The bytes are none of these; start afresh.
        """
        self._zone = zone
        self.predictor = Predictor()
        self.scores = Prequential()
        self.pairs: dict[str, int] = {}
        self.shapes: dict[str, int] = {}
        self._history_left = HISTORY_MOST
        self.scored_since: float | None = None
        self._predictions: dict[str, dict[str, dict[str, Any]]] | None = None
        if saved is not None:
            self._load(saved)

    def _load(self, data: bytes) -> None:
        saved = msgspec.msgpack.decode(data, type=_Saved)
        self.predictor = Predictor.load(saved.predictor)
        self.scores = Prequential.load(saved.scores)
        self.pairs, self.shapes = saved.pairs, saved.shapes
        self._history_left = saved.history_left
        self.scored_since = saved.scored_since

    def dump(self) -> bytes:
        """The whole state; going on from it gives the same bytes as not having stopped."""
        return msgspec.msgpack.encode(
            _Saved(
                self.predictor.dump(),
                self.scores.dump(),
                self.pairs,
                self.shapes,
                self._history_left,
                self.scored_since,
            )
        )

    # --------------------------------------------------------------------- learning
    def select(self, executions: Sequence[Execution], *, now: float) -> list[Execution]:
        """Those to learn from: what is rated, within the budgets; executions in event order."""
        chosen = [e for e in executions if self._wanted(e, now)]
        if len(chosen) > SLICE_MOST:
            every = len(chosen) // SLICE_MOST + 1
            chosen = [e for e in chosen if (e.session or e.id) % every == 0]
        return chosen

    def learn(self, chosen: Sequence[Execution], *, now: float, scored: bool = True) -> None:
        """Score the predictions that stood, then learn.

        Args:
            chosen: By `select`, in event order.
            now: Unix seconds.
            scored: False where no prediction stood: these are learned again.
        """
        if scored:
            self._score([e for e in chosen if now - e.at <= FRESH_S], now)
        for execution in chosen:
            self._learn(execution)
        if chosen:
            self._predictions = None

    def _wanted(self, execution: Execution, now: float) -> bool:
        if execution.outcome not in RATED and execution.outcome != REJECTED:
            return False
        if now - execution.at <= FRESH_S:
            return True
        self._history_left -= 1
        return self._history_left >= 0

    def _score(self, executions: Iterable[Execution], now: float) -> None:
        sessions: dict[int, list[tuple[float, float, bool]]] = {}
        reference = self.scores.reference
        for execution in executions:
            if execution.outcome in RATED:
                found = self._predict(execution)
                if found.success is not None:
                    row = (found.success, reference, execution.outcome == "ok")
                    sessions.setdefault(execution.session or -execution.id, []).append(row)
        for rows in sessions.values():
            self.scores.add(rows)
        if sessions and self.scored_since is None:
            self.scored_since = now

    def _predict(self, execution: Execution) -> Prediction:
        return self.predictor.predict(
            execution.tool,
            execution.house,
            signature=execution.signature,
            shape=execution.shape,
            model=execution.model,
            task=execution.task_type,
            hour=self.hour(execution.at),
        )

    def _learn(self, execution: Execution) -> None:
        if execution.outcome == REJECTED:
            return
        self.predictor.learn(
            execution.tool,
            execution.house,
            ok=execution.outcome == "ok",
            at=execution.at,
            signature=execution.signature,
            shape=execution.shape,
            model=execution.model,
            task=execution.task_type,
            hour=self.hour(execution.at),
        )
        pair = f"{execution.house}\0{execution.tool}"
        count(self.pairs, pair)
        count(self.shapes, f"{pair}\0{execution.shape}")

    def hour(self, at: float) -> int:
        """The hour of the day, 0 to 23, in the configured zone."""
        if self._zone is None:
            return datetime.fromtimestamp(at, UTC).astimezone().hour
        return datetime.fromtimestamp(at, self._zone).hour

    def forget(self, now: float) -> None:
        """Let go of effects that nothing used for long."""
        self.predictor.prune(now)

    # -------------------------------------------------------------------- publishing
    def published_predictions(self) -> dict[str, dict[str, dict[str, Any]]]:
        """For the most used tools of each house: success, interval, samples, and by shape."""
        if self._predictions is None:
            self._predictions = self._predict_all()
        return self._predictions

    def _predict_all(self) -> dict[str, dict[str, dict[str, Any]]]:
        found: dict[str, dict[str, dict[str, Any]]] = {}
        for pair in _most_used(self.pairs, PAIRS_MOST):
            house, _, tool = pair.partition("\0")
            whole = self.predictor.predict(tool, house)
            if whole.success is not None:
                found.setdefault(house, {})[tool] = _entry(whole) | {"shapes": {}}
        for triple in _most_used(self.shapes, SHAPES_MOST):
            house, tool, shape = triple.split("\0", 2)
            entry = found.get(house, {}).get(tool)
            if entry is not None and self.shapes[triple] >= _FEW:
                one = self.predictor.predict(tool, house, shape=shape)
                if one.success is not None:
                    entry["shapes"][shape] = _entry(one)
        return found

    def accuracy(self) -> Scores | None:
        """How good the predictions were; None before there are enough."""
        return self.scores.scores()


def _entry(found: Prediction) -> dict[str, Any]:
    return {
        "success": found.success,
        "low": found.low,
        "high": found.high,
        "samples": found.samples,
    }


def _most_used(counts: Mapping[str, int], most: int) -> list[str]:
    return sorted(counts, key=lambda name: (-counts[name], name))[:most]
