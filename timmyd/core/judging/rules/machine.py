"""The life of a change: watch for trouble, try, keep or take back, cool down; one machine for all keys."""

from collections.abc import Iterable, Mapping
from typing import Final, Literal

from timmyd.core.judging.paired import PairedTest
from timmyd.core.judging.rules import expand
from timmyd.core.judging.rules.base import PolicySpec, RuleSpec
from timmyd.core.judging.rules.explain import keeper_of
from timmyd.core.judging.rules.knobs import (
    Change,
    ChangeKind,
    Knob,
    Range,
    range_of,
    to_float,
    to_grid,
)
from timmyd.core.judging.rules.obstacles import (
    OBSERVES,
    PATIENCE,
    obstacles,
    restore_obstacles,
)
from timmyd.core.judging.rules.saved import State
from timmyd.core.judging.rules.signals import SIGNALS
from timmyd.core.judging.rules.watch import Watch
from timmyd.core.judging.rules.words import Figures, alarm, figures, level, result, trial_figures
from timmyd.core.judging.trials import (
    GUARD_MARGIN,
    MARGIN,
    Trial,
    TrialVerdict,
    block_length_s,
    verdict,
)

LONGEST_WAIT: Final = 8.0
"""Refusals double a wait up to so many times."""


class Machine:
    """Steps every policy through its phases; the state is `state` and nothing else.

    Attributes:
        state: Shared with the judgement; replaced as a whole after a restart.
        specs: Every policy key with its settings.
        ranges: The same on the grid.
        rules: By name, `*` expanded.
        by_key: The names of a key's rules, in the order of the settings.
    """

    def __init__(
        self,
        rules: Iterable[RuleSpec],
        specs: Mapping[str, PolicySpec],
        *,
        idle_s: float,
        seed: int,
    ) -> None:
        """Settings only; the knobs start at their defaults."""
        self.specs = dict(specs)
        self.ranges: dict[str, Range] = {key: range_of(spec) for key, spec in specs.items()}
        self.rules = {rule.name: rule for rule in expand(rules, specs)}
        self.by_key: dict[str, list[str]] = {key: [] for key in self.specs}
        for rule in self.rules.values():
            self.by_key[rule.policy].append(rule.name)
        self._seed = seed
        self._idle_s = idle_s
        grids = self.ranges.items()
        self.state = State(
            knobs={key: Knob(value=grid.default, default=grid.default) for key, grid in grids}
        )

    def step(self, key: str, now: float) -> list[Change]:
        """One tick of one policy."""
        knob = self.state.knobs[key]
        if self.pin_of(key) is not None:
            return []
        if knob.trial is not None:
            return self._run(knob, knob.trial, now)
        if knob.phase == "cool" and now >= knob.until:
            knob.phase = "watch"
            for name in self.by_key[key]:
                self.state.watches[name].reset()
        if knob.phase != "watch":
            return []
        for name in self.by_key[key]:
            watch = self.state.watches[name]
            stops = obstacles(
                watch,
                knob=knob,
                grid=self.ranges[key],
                pin=None,
                running=self.running(),
                now=now,
            )
            if stops in {(), (OBSERVES,)}:
                return [self._start(watch, self._relaxed(watch.spec), "relax", now)]
        return self._maybe_restore(key, knob, now)

    def _maybe_restore(self, key: str, knob: Knob, now: float) -> list[Change]:
        watch, grid = keeper_of(knob, self.watches_of(key)), self.ranges[key]
        if watch is None or restore_obstacles(
            watch, knob=knob, grid=grid, running=self.running(), now=now
        ):
            return []
        return [self._start(watch, grid.toward(knob.value, grid.default), "restore", now)]

    def _relaxed(self, rule: RuleSpec) -> int:
        """The value one step in the rule's direction."""
        grid = self.ranges[rule.policy]
        target = grid.least if rule.direction == "lower" else grid.most
        return grid.toward(self.state.knobs[rule.policy].value, target)

    def _start(
        self, watch: Watch, tried: int, kind: Literal["relax", "restore"], now: float
    ) -> Change:
        """Begin a trial, or say in observe mode that one would begin."""
        rule, key = watch.spec, watch.spec.policy
        knob = self.state.knobs[key]
        if rule.mode == "observe":
            knob.phase, knob.until = "cool", now + PATIENCE * rule.cooldown
            reason = f"would try {self.as_float(key, tried):g}: {self._why_try(watch, kind)}"
            return self._change("observed", watch, (knob.value, tried), now=now, reason=reason)
        guards = rule.guards if kind == "relax" else ()
        told = self.state.revision is not None
        trial = Trial(
            key=key,
            rule=rule.name,
            kind=kind,
            old=knob.value,
            new=tried,
            started_at=now,
            block_s=block_length_s(watch.pace.per_s(now)),
            seed=self._seed,
            attribution="revision" if told and watch.obedience.by_revision else "time",
            revision=self.state.revision,
            signal=PairedTest(margin=0.0 if kind == "relax" else -MARGIN),
            guards={name: PairedTest() for name in guards},
            intact={name: PairedTest(margin=-GUARD_MARGIN) for name in guards},
        )
        reason = self._why_try(watch, kind)
        change = self._change("trial_started", watch, (knob.value, tried), now=now, reason=reason)
        knob.trial, knob.phase, knob.trials = trial, "trial", knob.trials + 1
        trial.turn(now)
        return change

    def _run(self, knob: Knob, trial: Trial, now: float) -> list[Change]:
        watch = self.state.watches[trial.rule]
        rho = watch.design.rho
        ways: dict[str, tuple[float, str]] = {"": (rho, watch.signal.good)}
        ways |= {name: (rho, SIGNALS[name].good) for name in trial.guards}
        trial.settle(now, grace_s=self._idle_s, ways=ways)
        judged = verdict(trial, now)
        if judged is None:
            trial.turn(now)
            return []
        return [self._end(knob, trial, judged, now)]

    def _end(self, knob: Knob, trial: Trial, judged: TrialVerdict, now: float) -> Change:
        watch = self.state.watches[trial.rule]
        relax = trial.kind == "relax"
        reason = result(trial, judged.words)
        kind: ChangeKind
        if judged.keep:
            kind = "kept" if relax else "restored"
            moved = (trial.old, trial.new)
            knob.value, knob.reason = trial.new, reason
            if relax:
                knob.relax_wait, knob.moved_by = 1.0, trial.rule
            else:
                knob.restore_wait = 1.0
                if knob.value == self.ranges[trial.key].default:
                    knob.moved_by = None
            wait = watch.spec.cooldown
        else:
            kind = "taken_back"
            moved = (trial.new, trial.old)
            wait = watch.spec.cooldown
            if relax:
                wait *= PATIENCE * knob.relax_wait
                knob.relax_wait = min(LONGEST_WAIT, 2.0 * knob.relax_wait)
            else:
                knob.restore_wait = min(LONGEST_WAIT, 2.0 * knob.restore_wait)
        knob.trial, knob.phase = None, "cool"
        knob.until, knob.changed_at = now + wait, now
        more = trial_figures(trial)
        return self._change(kind, watch, moved, now=now, reason=reason, more=more)

    def watches_of(self, key: str) -> list[Watch]:
        """The evidence of a policy's rules."""
        return [self.state.watches[name] for name in self.by_key[key]]

    def trials(self) -> list[tuple[str, Trial]]:
        """The running trials, by key."""
        knobs = self.state.knobs
        return [(key, trial) for key in sorted(knobs) if (trial := knobs[key].trial) is not None]

    def running(self) -> list[str]:
        """The policies on trial."""
        return [key for key, _ in self.trials()]

    def pin_of(self, key: str) -> int | None:
        """The operator's pin, else that of the settings."""
        pin, spec = self.state.knobs[key].pin, self.specs[key]
        if pin is None and spec.pin is not None:
            return self.ranges[key].clamp(to_grid(spec.pin))
        return pin

    def in_force(self, key: str) -> int:
        """The grid value to publish."""
        return self.state.knobs[key].in_force(self.pin_of(key))

    def as_float(self, key: str, value: int) -> float:
        """A grid value as it is published."""
        return to_float(value, self.specs[key])

    def _why_try(self, watch: Watch, kind: Literal["relax", "restore"]) -> str:
        return alarm(watch) if kind == "relax" else f"the default is tried back; {level(watch)}"

    def _change(
        self,
        kind: ChangeKind,
        watch: Watch,
        moved: tuple[int, int],
        *,
        now: float,
        reason: str,
        more: Figures | None = None,
    ) -> Change:
        key = watch.spec.policy
        return Change(
            at=now,
            kind=kind,
            key=key,
            old=self.as_float(key, moved[0]),
            new=self.as_float(key, moved[1]),
            rule=watch.spec.name,
            reason=reason,
            evidence=figures(watch) | (more or {}),
        )
