"""One policy value: its grid, its bounds, where it stands, and the change that is on trial."""

import math
from typing import Final, Literal

import msgspec

from timmyd.core.detect import clamp
from timmyd.core.judging.rules.base import FLEET, PolicySpec
from timmyd.core.judging.trials import Trial

GRID: Final = 10_000
"""Values are whole numbers of ten-thousandths inside, so that no step drifts past a bound."""

_SLACK: Final = 1e-6

Phase = Literal["watch", "trial", "cool"]

ChangeKind = Literal[
    "trial_started",
    "kept",
    "taken_back",
    "restored",
    "ended_by_upgrade",
    "observed",
    "pinned",
    "unpinned",
    "rolled_back",
]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Something the judgement did, or in observe mode would have done.

    Attributes:
        at: Unix seconds.
        kind: What; `kept`, `restored`, `rolled_back`, `pinned`, `unpinned` may move the value.
        key: The policy.
        old: The value before; of a change that was taken back: the one that was tried.
        new: The value after; of a started trial: the one that is tried.
        rule: The rule that asked for it; empty for the operator's hand.
        reason: In words, with the figures behind it.
        evidence: The figures: clusters, rate, low, high, e_value, limit, pairs, gain and the like.
    """

    at: float
    kind: ChangeKind
    key: str
    old: float
    new: float
    rule: str
    reason: str
    evidence: dict[str, float | int | str | None] = {}


class TrialView(msgspec.Struct, frozen=True, kw_only=True):
    """A running trial as it is shown: `arm` is in force since `since` and until about `until`."""

    policy: str
    rule: str
    kind: Literal["relax", "restore"]
    old: float
    new: float
    arm: Literal["new", "old"]
    started_at: float
    since: float
    until: float
    attribution: Literal["revision", "time"]
    figures: dict[str, float | int | str | None]
    guards: dict[str, str]


class Range(msgspec.Struct, frozen=True):
    """A policy's default, bounds and step on the grid."""

    default: int
    least: int
    most: int
    step: int

    def clamp(self, value: int) -> int:
        """The nearest value within the bounds."""
        return max(self.least, min(self.most, value))

    def toward(self, value: int, target: int) -> int:
        """One step from `value` towards `target`, not beyond it and not out of bounds."""
        return self.clamp(value + max(-self.step, min(self.step, target - value)))


def range_of(spec: PolicySpec) -> Range:
    """A policy's settings on the grid; whatever they are, the result is usable and inside them."""
    low, high = min(spec.least, spec.most), max(spec.least, spec.most)
    default = round(clamp(spec.default, low, high) * GRID)
    least, most = math.ceil(low * GRID - _SLACK), math.floor(high * GRID + _SLACK)
    if least > most:
        least = most = default
    step = max(1, round(abs(spec.step) * GRID))
    return Range(max(least, min(most, default)), least, most, step)


def to_grid(value: float) -> int:
    """The nearest grid value."""
    return round(value * GRID)


def to_float(value: int, spec: PolicySpec) -> float:
    """A grid value as it is published: inside the bounds to the last bit."""
    low, high = min(spec.least, spec.most), max(spec.least, spec.most)
    return clamp(value / GRID, low, high)


class Knob(msgspec.Struct, kw_only=True):
    """Where one policy stands. Values on the grid, times in Unix seconds.

    Attributes:
        value: In force when there is neither a trial nor a pin.
        default: As it was in the settings when this was saved.
        phase: `watch` for trouble, `trial`, or `cool` after one.
        until: When `cool` ends.
        changed_at: When the value last moved, or a trial over it ended.
        moved_by: The rule that moved it from its default; its restore is that rule's business.
        reason: Why the value is what it is.
        pin: The operator's value, which hides all else.
        relax_wait: How many times longer than usual the next relaxation waits.
        restore_wait: The same for trying back the default.
        trials: How many were begun.
    """

    value: int
    default: int
    phase: Phase = "watch"
    until: float = 0.0
    changed_at: float | None = None
    moved_by: str | None = None
    reason: str = ""
    pin: int | None = None
    relax_wait: float = 1.0
    restore_wait: float = 1.0
    trials: int = 0
    trial: Trial | None = None

    def in_force(self, pin: int | None) -> int:
        """The value to publish, `pin` being the settings' or the operator's."""
        if pin is not None:
            return pin
        if self.trial is not None and self.trial.arm == "new":
            return self.trial.new
        return self.value


def owner_of(key: str) -> str:
    """The house of a key, or `routing`."""
    return key.partition(".")[0]


def in_the_way(key: str, running: list[str]) -> str | None:
    """The running trial that keeps `key` from being tried now: one at a time a house.

    `routing` is the whole fleet: it waits for every house, and every house for it.
    """
    owner = owner_of(key)
    for other in running:
        if FLEET in {owner, owner_of(other)} or owner == owner_of(other):
            return other
    return None
