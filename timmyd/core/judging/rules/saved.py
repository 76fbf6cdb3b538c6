"""What the judgement keeps over a restart, and how it meets settings that changed meanwhile."""

from collections.abc import Mapping
from typing import Final

import msgspec

from timmyd.core.judging.rules.base import Observation, PolicySpec, RuleSpec
from timmyd.core.judging.rules.knobs import Change, Knob, Range, range_of, to_float
from timmyd.core.judging.rules.watch import Watch

VERSION: Final = 1


class State(msgspec.Struct, kw_only=True):
    """All of it; bounded by rules, keys and live sessions, never by history.

    Attributes:
        version: Of this layout; another one is not read.
        watches: By rule.
        knobs: By policy.
        pending: Observed since the last tick.
        ticked_at: The last tick, Unix seconds.
        late: Observations that came too late to be evidence.
        notices: Changes that the next tick is to report.
        revision: The last one that `values` went out under, if anybody says so.
    """

    version: int = VERSION
    watches: dict[str, Watch] = {}
    knobs: dict[str, Knob] = {}
    pending: list[Observation] = []
    ticked_at: float | None = None
    late: int = 0
    notices: list[Change] = []
    revision: int | None = None


class StateError(ValueError):
    """The bytes are no state of this version; begin without history."""

    def __init__(self) -> None:
        super().__init__("not a saved judgement of this version")


def encode(state: State) -> bytes:
    """The state as bytes, floats bit for bit."""
    return _encoder.encode(state)


def decode(data: bytes) -> State:
    """The state behind `data`.

    Raises:
        StateError: It is not one, or of another version.
    """
    try:
        state = _decoder.decode(data)
    except (msgspec.MsgspecError, ValueError, OverflowError) as error:
        raise StateError from error
    if state.version != VERSION:
        raise StateError
    return state


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
    knob.value = grid.default if knob.value == knob.default else grid.clamp(knob.value)
    knob.default = grid.default
    if knob.pin is not None:
        knob.pin = grid.clamp(knob.pin)
    trial = knob.trial
    if trial is not None and (spec.pin is not None or not _still_fits(knob, fresh, grid)):
        knob.trial, knob.phase = None, "cool"
        knob.until = knob.changed_at = fresh.ticked_at or trial.started_at
        fresh.notices.append(
            Change(
                at=knob.until,
                kind="taken_back",
                key=key,
                old=to_float(trial.new, spec),
                new=to_float(knob.value, spec),
                rule=trial.rule,
                reason="the settings changed during the trial",
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
        and set(wanted) == set(trial.guards)
    )


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(State)
