"""The predictions: how likely a call succeeds, as it is published, and how good that was.

Fed in event order with all that is rated, however late it comes. What is published is what is
taught, what is answered, and what is scored: each call against the figures that stood when it began.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from timmyd.core.estimating.in_force import FigureKey, InForce, Told
from timmyd.core.estimating.predict import Figures, Predictor
from timmyd.core.estimating.recent import RecentCounts, disagrees
from timmyd.core.estimating.score import Coverage, Prequential, Scores
from timmyd.core.model import Execution
from timmyd.house.figures import ARGUMENTS, SHAPE, TOOL, nearest
from timmyd.house.outcome import RATED
from timmyd.house.shape import signature
from timmyd.store.given import signature_of_shape

FRESH_S = 6 * 3600.0
"""Seconds after which an execution is history: it feeds predictions and choices, and no decision."""

REJECTED = "rejected"

PAIRS_MOST = 300
SHAPES_MOST = 500
ARGUMENTS_MOST = 500
"""Published at most; owners have equal shares of each."""

Table = dict[str, dict[str, dict[str, Any]]]
"""By house and tool: figures, and `shapes` by name, each perhaps with `arguments` by signature."""


class _SavedPredictions(msgspec.Struct):
    predictor: bytes
    scores: bytes
    coverage: bytes
    in_force: bytes
    recent: list[tuple[tuple[str, ...], list[list[int]]]]
    learned: int
    scored_since: float | None = None


class Predictions:
    """Predictor and scores over one stream of executions."""

    def __init__(self, saved: bytes | None = None) -> None:
        """Go on from what `dump` gave.

        Args:
            saved: The result of `dump`, None at first.

        Raises:
            msgspec.MsgspecError: The bytes are none of these; start afresh.
        """
        kept = None if saved is None else msgspec.msgpack.decode(saved, type=_SavedPredictions)
        self._predictor = Predictor(None if kept is None else kept.predictor)
        self._scores = Prequential() if kept is None else Prequential.load(kept.scores)
        self._coverage = Coverage(None if kept is None else kept.coverage)
        self._in_force = InForce(None if kept is None else kept.in_force)
        self._recent = RecentCounts(None if kept is None else dict(kept.recent))
        self.learned = 0 if kept is None else kept.learned
        self.scored_since = None if kept is None else kept.scored_since
        self._figures: dict[FigureKey, Figures] | None = None

    def dump(self) -> bytes:
        """The whole state; going on from it gives the same bytes as not having stopped."""
        return msgspec.msgpack.encode(
            _SavedPredictions(
                self._predictor.dump(),
                self._scores.dump(),
                self._coverage.dump(),
                self._in_force.dump(),
                list(self._recent.counts.items()),
                self.learned,
                self.scored_since,
            )
        )

    # --------------------------------------------------------------------- learning
    def learn(self, executions: Sequence[Execution], *, now: float, scored: bool = True) -> None:
        """Score the figures that stood when each began, then learn what is rated.

        Args:
            executions: In event order.
            now: Unix seconds.
            scored: False where they are learned again.
        """
        rated = [execution for execution in executions if execution.outcome in RATED]
        if scored:
            self._score(rated, now)
        self.learned += len(rated)
        for execution in rated:
            house, tool, shape = execution.house, execution.tool, execution.shape
            ok, at = execution.outcome == "ok", min(execution.at, now)
            self._predictor.learn(
                house,
                tool,
                shape,
                _arguments(execution),
                ok=ok,
                at=at,
                now=now,
                owner=execution.owner,
            )
            self._recent.learn((house, tool), ok=ok, at=at)
            self._recent.learn((house, tool, shape), ok=ok, at=at)
        if rated:
            self._figures = None

    def _score(self, rated: Iterable[Execution], now: float) -> None:
        sessions: dict[int, list[tuple[float, float, bool]]] = {}
        for execution in rated:
            told = self._told(execution)
            if told is None:
                continue
            ok, figures = execution.outcome == "ok", told.figures
            row = (figures.success, told.reference, ok)
            sessions.setdefault(execution.session or -execution.id, []).append(row)
            self._scores.note_day(figures.success, execution.at, ok=ok)
            self._coverage.add(told.key, figures.success, figures.low, figures.high, ok=ok)
        if sessions and self.scored_since is None:
            self.scored_since = now
        for rows in sessions.values():
            self._scores.add(rows)

    def _told(self, execution: Execution) -> Told | None:
        """What was published of a call when it began; its time is that of its result."""
        began = execution.at - (execution.latency_ms or 0.0) / 1000.0
        key = (execution.house, execution.tool, execution.shape, _arguments(execution))
        return None if execution.at_approximate else self._in_force.find(key, began)

    def note(self, *, now: float, life_s: float | None) -> None:
        """The present figures go out, for so long; None: at a tick, where nothing is published."""
        self._in_force.note(self._all(), self._scores.reference, now=now, life_s=life_s)

    # -------------------------------------------------------------------- publishing
    def published(self, now: float) -> Table:
        """For the most used tools of each house: success, interval, samples; by shape; by arguments."""
        found: Table = {}
        for (house, tool, shape, arguments), figures in self._all().items():
            entry = figures._asdict()
            if not shape:
                found.setdefault(house, {})[tool] = {**entry, "shapes": {}}
                self._set_beside(found[house][tool], (house, tool), now)
            elif not arguments:
                found[house][tool]["shapes"][shape] = entry
                self._set_beside(entry, (house, tool, shape), now)
            else:
                likes = found[house][tool]["shapes"][shape]
                likes.setdefault("arguments", {})[arguments] = entry
        return found

    def nearest(
        self,
        house: str,
        tool: str,
        shape: str | None,
        params: object,
        *,
        now: float,
        at: float | None = None,
    ) -> tuple[Mapping[str, Any], str] | None:
        """The published figures that come closest to a call, as a house finds them, and of what they are.

        With `at`, Unix seconds of the last hours, those that stood then.
        """
        if at is not None:
            exact = "" if params is None else signature(params)
            told = self._in_force.find((house, tool, shape or "", exact), at)
            group = TOOL if told is None or not told.key[2] else SHAPE
            return (
                None
                if told is None
                else (told.figures._asdict(), ARGUMENTS if told.key[3] else group)
            )
        item = self.published(now).get(house, {}).get(tool)
        if item is not None:
            return nearest(item, shape, params)
        figures = self._predictor.tell(house, tool)
        return None if figures is None else (figures._asdict(), TOOL)

    def accuracy(self, now: float) -> float | None:
        """The original's: mean of 1 - |predicted - outcome| over seven days; None: nothing was scored."""
        return self._scores.accuracy(now)

    def scores(self) -> Scores | None:
        """How good the predictions were; None before there are enough."""
        return self._scores.scores()

    @property
    def coverage(self) -> float | None:
        """Share of the 95 % intervals that held; None before there is enough."""
        return self._coverage.share

    def _set_beside(self, entry: dict[str, Any], key: tuple[str, ...], now: float) -> None:
        recent = self._recent.told(key, now)
        if recent is not None and disagrees(recent, entry["success"]):
            entry["recent"] = {
                name: round(value, 4) for name, value in msgspec.structs.asdict(recent).items()
            }

    def _all(self) -> dict[FigureKey, Figures]:
        """All figures that are published; a tool comes before its shapes, a shape before its arguments."""
        if self._figures is None:
            found: dict[FigureKey, Figures] = {}
            self._figures = found
            for use in self._predictor.most_used(PAIRS_MOST, SHAPES_MOST, ARGUMENTS_MOST):
                house, tool, shape, arguments = use[2:]
                over = found.get((house, tool, shape, "") if arguments else (house, tool, "", ""))
                if shape and over is None:
                    continue
                figures = self._predictor.tell(
                    house,
                    tool,
                    shape or None,
                    arguments or None,
                    beyond=over if arguments else None,
                )
                if figures is not None:
                    found[house, tool, shape, arguments] = figures
        return self._figures


def _arguments(execution: Execution) -> str:
    """The digest of the exact arguments; "" where only their shape was told."""
    exact = execution.signature
    return "" if exact == signature_of_shape(execution.shape) else exact
