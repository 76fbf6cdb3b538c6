"""What other settings would have decided over the recorded history; reads, and writes nothing.

The calls are taken as they were: how one would have ended under another value, nobody knows. So a
replay shows which alarms, trials, breakers and choices there would have been and when; a trial in
it shows no effect, because nothing obeyed it, and is said to be unproven.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from timmyd.config import Settings
from timmyd.core.model import AdaptationEvent, Execution, iso
from timmyd.engine.learning import Learner
from timmyd.store.queries import TurnRow

QUIET_S: Final = 600.0
"""Longest time between two ticks while nothing happens: as long as the shortest block of a trial."""

_SAY_EVERY: Final = 2_000


class Replayed(msgspec.Struct, kw_only=True):
    """What came of a replay. The same history and settings give the same bytes.

    Attributes:
        since, until: Of the history, ISO 8601; None without any.
        decisions: What changed, oldest first.
        policies: The values at the end.
        breakers: Those that are not closed at the end.
        models, routes: The choices that would be published at the end.
        accuracy: Scores of the predictions; empty before there are enough.
    """

    since: str | None = None
    until: str | None = None
    executions: int = 0
    turns: int = 0
    ticks: int = 0
    decisions: list[AdaptationEvent] = []
    policies: dict[str, float] = {}
    breakers: list[dict[str, Any]] = []
    models: dict[str, Any] = {}
    routes: dict[str, Any] = {}
    accuracy: dict[str, float] = {}


class _Player:
    """A learner, and the clock that its history moves."""

    def __init__(self, settings: Settings) -> None:
        self.learner = Learner(settings, {})
        self.done = Replayed()
        self._tick_s = settings.schedule.tick_s
        self._executions: list[Execution] = []
        self._turns: list[TurnRow] = []
        self._next = 0.0

    def take(self, event: Execution | TurnRow) -> None:
        """Let the time pass up to an event, then note it for the next tick."""
        if not self._next:
            self.done.since = iso(event.at)
            self._next = self._grid(event.at)
        while event.at > self._next:
            self._tick()
            quiet = self._grid(self._next + QUIET_S - self._tick_s)
            self._next = max(self._next + self._tick_s, min(quiet, self._grid(event.at)))
        if isinstance(event, Execution):
            self._executions.append(event)
        else:
            self._turns.append(event)
        self.done.until = iso(event.at)

    def end(self, *, rest_s: float) -> None:
        """Tick on until the last sessions are over."""
        until = self._next + rest_s
        while self._next and self._next <= until:
            self._tick()
            self._next += max(self._tick_s, rest_s / 4)

    def _grid(self, at: float) -> float:
        """The first tick at or after a time; ticks lie where they would lie in any other replay."""
        return math.ceil(at / self._tick_s) * self._tick_s

    def _tick(self) -> None:
        executions, turns = self._executions, self._turns
        self._executions, self._turns = [], []
        self.learner.observe(executions, turns, now=self._next)
        self.done.decisions.extend(self.learner.tick(self._next))
        self.done.executions += len(executions)
        self.done.turns += len(turns)
        self.done.ticks += 1


def replay(
    history: Iterable[Execution | TurnRow],
    settings: Settings,
    *,
    progress: Callable[[int], None] = lambda _executions: None,
) -> Replayed:
    """Decide once more over a history, tick by tick, from nothing, under other settings.

    Orders of the operator are not given again; pins of the settings hold.

    Args:
        history: By time, such as `timmyd.store.history.History`.
        settings: Those to try.
        progress: Told now and then how many executions were taken in.

    Returns:
        What would have been decided, and what would be in force at the end.
    """
    player = _Player(settings)
    for number, event in enumerate(history):
        player.take(event)
        if number % _SAY_EVERY == 0:
            progress(player.done.executions)
    player.end(rest_s=settings.evidence.cluster_idle_s + QUIET_S)
    learner, done = player.learner, player.done
    done.policies = dict(sorted(learner.judgement.values().items()))
    done.models = learner.bound().models
    done.routes = learner.bound().routes
    done.breakers = [
        {
            "house": key.house,
            "tool": key.tool,
            "model": key.model,
            "state": breaker.state,
            "since": iso(breaker.since),
            "reason": breaker.reason,
        }
        for key, breaker in sorted(learner.breakers, key=lambda pair: repr(pair[0]))
        if breaker.state != "closed"
    ]
    scores = learner.predictions.scores()
    if scores is not None:
        done.accuracy = {
            "brier": scores.brier,
            "log_loss": scores.log_loss,
            "baseline_brier": scores.baseline_brier,
            "samples": scores.samples,
        }
    return done
