"""What the judgement keeps over a restart, and how it meets settings that changed meanwhile."""

from collections.abc import Mapping
from typing import Final

import msgspec

from timmyd.core.judging.rules.base import Observation, PolicySpec, RuleSpec
from timmyd.core.judging.rules.knobs import (
    Change,
    ChangeKind,
    Knob,
    Phase,
    Range,
    range_of,
    to_float,
)
from timmyd.core.judging.rules.watch import Watch
from timmyd.core.judging.trials import Trial


class State(msgspec.Struct, kw_only=True):
    """All of it; bounded by rules, keys and live sessions, never by history.

    Attributes:
        watches: By rule.
        knobs: By policy.
        pending: Observed since the last tick.
        ticked_at: The last tick, Unix seconds.
        late: Observations that came too late to be evidence.
        notices: Changes that the next tick is to report.
        revision: The last one that `values` went out under, if anybody says so.
    """

    watches: dict[str, Watch] = {}
    knobs: dict[str, Knob] = {}
    pending: list[Observation] = []
    ticked_at: float | None = None
    late: int = 0
    notices: list[Change] = []
    revision: int | None = None


class StateError(ValueError):
    """The bytes are no state of this version."""

    def __init__(self, part: str = "judgement") -> None:
        self.part = part
        super().__init__(f"not a saved {part} of this version")


class _EndedTrial(msgspec.Struct):
    rule: str
    new: int
    started_at: float


class _LastingKnob(msgspec.Struct):
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
    trial: _EndedTrial | None = None


class _Lasting(msgspec.Struct):
    """What every form of the state has in common, by these names: it outlives the others."""

    knobs: dict[str, _LastingKnob] = {}
    ticked_at: float | None = None
    revision: int | None = None


def encode(state: State) -> bytes:
    """The state as bytes, floats bit for bit."""
    return _encoder.encode(state)


def decode(data: bytes) -> State:
    """The state behind `data`.

    Raises:
        StateError: It is not one.
    """
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, ValueError, OverflowError) as error:
        raise StateError from error


def upgrade(data: bytes, fresh: State, specs: Mapping[str, PolicySpec]) -> None:
    """Move into `fresh` what lasts of a state of an older form: values, pins, waits.

    A running trial ends with the old value in force; evidence begins anew.

    Raises:
        StateError: The bytes are no state of any form.
    """
    try:
        old = msgspec.msgpack.decode(data, type=_Lasting)
    except (msgspec.MsgspecError, ValueError, OverflowError) as error:
        raise StateError from error
    fresh.ticked_at, fresh.revision = old.ticked_at, old.revision
    for key in fresh.knobs.keys() & old.knobs.keys():
        lasting, grid = old.knobs[key], range_of(specs[key])
        kept = {name: getattr(lasting, name) for name in lasting.__struct_fields__}
        knob = fresh.knobs[key] = Knob(**kept | {"trial": None})
        _fit(knob, grid)
        if lasting.trial is not None:
            end_trial(
                knob, fresh, key, specs[key], lasting.trial,
                kind="ended_by_upgrade",
                reason="timmyd was upgraded during the trial; the old value is in force",
            )  # fmt: skip


def carry_over(saved: State, fresh: State, specs: Mapping[str, PolicySpec]) -> None:
    """Move into `fresh`, built from today's settings, what of `saved` still means the same.

    Evidence stays with a rule that still asks the same question; a value stays within today's
    bounds, and follows a default that it had not left; a trial that is no longer the same ends.
    """
    fresh.pending, fresh.late = saved.pending, saved.late
    fresh.ticked_at, fresh.notices = saved.ticked_at, saved.notices
    fresh.revision = saved.revision
    for name, watch in fresh.watches.items():
        old = saved.watches.get(name)
        if old is not None and _question(old.spec) == _question(watch.spec):
            old.spec = watch.spec
            old.set_level(watch.fixed.level)
            limits = watch.clusters
            old.clusters.idle_s, old.clusters.size = limits.idle_s, limits.size
            old.clusters.age_s = limits.age_s
            fresh.watches[name] = old
    for key in fresh.knobs:
        knob = saved.knobs.get(key)
        if knob is not None:
            _carry_knob(knob, fresh, key, specs[key])
            fresh.knobs[key] = knob


def _question(rule: RuleSpec) -> tuple[object, ...]:
    """What a rule asks; guard, cooldown and mode may change without voiding the evidence."""
    return (rule.policy, rule.signal, rule.scope, rule.task, rule.tool, rule.limit, rule.side)


def _carry_knob(knob: Knob, fresh: State, key: str, spec: PolicySpec) -> None:
    grid = range_of(spec)
    _fit(knob, grid)
    trial = knob.trial
    if trial is not None and (spec.pin is not None or not _still_fits(knob, fresh, grid)):
        end_trial(
            knob, fresh, key, spec, trial,
            kind="taken_back", reason="the settings changed during the trial",
        )  # fmt: skip


def _fit(knob: Knob, grid: Range) -> None:
    """Within today's bounds; a value follows a default that it had not left."""
    knob.value = grid.default if knob.value == knob.default else grid.clamp(knob.value)
    knob.default = grid.default
    if knob.pin is not None:
        knob.pin = grid.clamp(knob.pin)


def end_trial(
    knob: Knob,
    fresh: State,
    key: str,
    spec: PolicySpec,
    trial: Trial | _EndedTrial,
    *,
    kind: ChangeKind,
    reason: str,
) -> None:
    """End a trial with the old value in force; the next tick tells it."""
    knob.trial, knob.phase = None, "cool"
    knob.until = knob.changed_at = fresh.ticked_at or trial.started_at
    fresh.notices.append(
        Change(
            at=knob.until,
            kind=kind,
            key=key,
            old=to_float(trial.new, spec),
            new=to_float(knob.value, spec),
            rule=trial.rule,
            reason=reason,
        )
    )


def _still_fits(knob: Knob, fresh: State, grid: Range) -> bool:
    trial = knob.trial
    watch = None if trial is None else fresh.watches.get(trial.rule)
    if trial is None or watch is None or watch.spec.mode != "enforce":
        return False
    wanted = watch.spec.guards if trial.kind == "relax" else ()
    return (
        watch.spec.policy == trial.key
        and knob.value == trial.old
        and grid.clamp(trial.new) == trial.new
        and set(wanted) == set(trial.guards) == set(trial.intact)
    )


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(State)
