"""The judgement of policy values: watch for trouble, try a change, keep it or take it back, cool down."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Self

from timmyd.core.judging.clusters import Closed
from timmyd.core.judging.rules.base import Observation, PolicySpec, RuleSpec
from timmyd.core.judging.rules.explain import explain
from timmyd.core.judging.rules.knobs import Change, ChangeKind, Knob, TrialView, to_float, to_grid
from timmyd.core.judging.rules.machine import Machine
from timmyd.core.judging.rules.obstacles import PATIENCE
from timmyd.core.judging.rules.routes import Routes
from timmyd.core.judging.rules.saved import (
    State,
    StateError,
    carry_over,
    decode,
    encode,
    end_trial,
    upgrade,
)
from timmyd.core.judging.rules.watch import new_watch
from timmyd.core.judging.rules.words import view_of

__all__ = ["Change", "Judgement", "Observation", "State", "StateError", "TrialView"]


class Judgement:
    """The state machine over all rules. It has no clock, no file and no random state.

    Feed it observations as they come, call `tick` as often as you like, publish `values`, and say
    under which revision they went out.
    """

    def __init__(
        self,
        rules: Iterable[RuleSpec],
        specs: Mapping[str, PolicySpec],
        *,
        limit_runs: float = 10_000.0,
        cluster_idle_s: float = 900.0,
        cluster_size: int = 50,
        cluster_age_s: float = 21_600.0,
        seed: int = 0,
    ) -> None:
        """Begin without any history.

        Args:
            rules: The rules in force; `*` is expanded over the keys of `specs`.
            specs: Every policy key with its default, bounds and step.
            limit_runs: About one false alarm in so many clusters at a limit itself.
            cluster_idle_s: Silence that ends a cluster; also how late an observation may come.
            cluster_size: Calls that end a cluster.
            cluster_age_s: Age that ends a cluster, seconds.
            seed: Of the coins of the trials.
        """
        self._idle_s = cluster_idle_s
        self._machine = Machine(rules, specs, idle_s=cluster_idle_s, seed=seed)
        self._state = self._machine.state
        self._new_watch = partial(
            new_watch,
            level=limit_runs,
            idle_s=cluster_idle_s,
            size=cluster_size,
            age_s=cluster_age_s,
        )
        for name, rule in self._machine.rules.items():
            self._state.watches[name] = self._new_watch(rule)
        self._routes = Routes(self._machine.rules.values())

    # ------------------------------------------------------------------ evidence
    def observe(self, executions: Iterable[Observation]) -> None:
        """Note calls and turns, in any order; they are taken in, in event order, at the next tick."""
        self._state.pending.extend(executions)

    def tick(self, now: float) -> list[Change]:
        """Take in what was observed and decide. Returns what changed, in order.

        Args:
            now: Unix seconds; a clock that jumps back stands still here.
        """
        state = self._state
        now = now if state.ticked_at is None else max(now, state.ticked_at)
        changes = self.take_notices()
        self._take_in(now)
        state.ticked_at = now
        for key in sorted(self._machine.specs):
            changes += self._machine.step(key, now)
        return changes

    def _take_in(self, now: float) -> None:
        state = self._state
        horizon = None if state.ticked_at is None else state.ticked_at - self._idle_s
        pending, state.pending = sorted(state.pending, key=_event_order), []
        closed: dict[str, list[Closed]] = {name: [] for name in state.watches}
        for call in pending:
            if horizon is not None and call.at <= horizon:
                state.late += 1
                continue
            self._count(call, min(call.at, now), closed)
        for name, watch in state.watches.items():
            knob = state.knobs[watch.spec.policy]
            for cluster in sorted(closed[name] + watch.clusters.over(now)):
                watch.close(cluster, testing=knob.phase == "watch")

    def _count(self, call: Observation, at: float, closed: dict[str, list[Closed]]) -> None:
        session = str(call.session)
        for name, streams in self._routes.of(call):
            watch = self._state.watches[name]
            if call.kind == "tool":
                watch.notice(call)
            trial = self._state.knobs[watch.spec.policy].trial
            if trial is not None and trial.rule != name:
                trial = None
            place = trial.place(at, call.policy) if trial is not None else None
            for stream, signal in streams:
                x = signal.value(call, watch.typical_ms if signal.scaled else watch.spec.limit)
                if x is None:
                    continue
                if stream:
                    watch.guard(stream, x, session, at)
                else:
                    closed[name] += watch.clusters.add(session, x, at)
                if trial is not None and place is not None:
                    trial.add(place, stream, session, x)

    # -------------------------------------------------------------- the operator
    def pin(self, key: str, value: float, *, now: float) -> Change:
        """Hold a policy at a value, within its bounds, until `unpin`; ends a trial over it.

        Raises:
            KeyError: There is no such policy.
        """
        grid, knob = self._machine.ranges[key], self._state.knobs[key]
        before = self._machine.in_force(key)
        self._abandon(knob, now)
        knob.pin = grid.clamp(to_grid(value))
        held, reason = self._machine.as_float(key, knob.pin), "pinned by the operator"
        if knob.pin != to_grid(value):
            reason += f": {value:g} is outside its bounds, so it is held at {held:g}"
        return self._by_hand(now, "pinned", key, before, reason)

    def unpin(self, key: str, *, now: float) -> Change:
        """Let the rules move a policy again; it goes back to where it stood under the pin.

        Raises:
            KeyError: There is no such policy.
        """
        knob = self._state.knobs[key]
        before = self._machine.in_force(key)
        knob.pin = None
        return self._by_hand(now, "unpinned", key, before, "unpinned by the operator")

    def rollback(self, key: str, value: float | None, *, now: float) -> Change:
        """Set a policy back to an earlier value, within its bounds; ends a trial over it.

        None keeps the value in force: of a change that was taken back nothing is left to undo.

        The rules rest afterwards as after a refused change, or they would at once try it again. A
        pinned policy stays at its pin; the value under it is set back.

        Raises:
            KeyError: There is no such policy.
        """
        knob = self._state.knobs[key]
        before = self._machine.in_force(key)
        self._abandon(knob, now)
        knob.reason = "rolled back by the operator"
        if value is None:
            knob.reason += ": that change was not in force, the value stays"
        else:
            knob.value = self._machine.ranges[key].clamp(to_grid(value))
        rests = [self._machine.rules[name].cooldown for name in self._machine.by_key[key]]
        knob.phase, knob.changed_at = "cool", now
        knob.until = now + PATIENCE * max(rests, default=0.0)
        return self._by_hand(now, "rolled_back", key, before, knob.reason)

    def leave(self, house: str) -> int:
        """Let go of all evidence that a house had a part in; values stay, trials over them end.

        Returns:
            How many rules begin anew.
        """
        heard = {n: r for n, r in self._machine.rules.items() if r.scope in {None, house}}
        for name, rule in heard.items():
            self._state.watches[name] = self._new_watch(rule)
        self._state.pending = [call for call in self._state.pending if call.house != house]
        for key, trial in list(self._machine.trials()):
            if trial.rule in heard:
                end_trial(
                    self._state.knobs[key], self._state, key, self._machine.specs[key], trial,
                    kind="taken_back", reason=f"{house} was set aside during the trial",
                )  # fmt: skip
        return len(heard)

    def _by_hand(self, now: float, kind: ChangeKind, key: str, before: int, reason: str) -> Change:
        old = self._machine.as_float(key, before)
        new = self._machine.as_float(key, self._machine.in_force(key))
        return Change(at=now, kind=kind, key=key, old=old, new=new, rule="", reason=reason)

    def _abandon(self, knob: Knob, now: float) -> None:
        if knob.trial is not None:
            knob.trial, knob.phase, knob.until, knob.changed_at = None, "cool", now, now

    def published(self, revision: int) -> None:
        """Say under which revision the present `values` went out, so that calls can be attributed."""
        self._state.revision = revision
        for knob in self._state.knobs.values():
            if knob.trial is not None:
                knob.trial.published(revision)

    # --------------------------------------------------------------------- views
    def values(self) -> dict[str, float]:
        """What to publish: by key, the arm in force during a trial, the pin where there is one."""
        return {
            key: to_float(self._machine.in_force(key), self._machine.specs[key])
            for key in self._machine.specs
        }

    def trials(self) -> list[TrialView]:
        """The running trials, by key, as of the last tick."""
        specs = self._machine.specs
        return [view_of(key, trial, specs[key]) for key, trial in self._machine.trials()]

    @property
    def late(self) -> int:
        """Observations that came too late to be evidence."""
        return self._state.late

    def explain(self, key: str) -> dict[str, Any]:
        """Why a policy is what it is and why it does not change, as of the last tick.

        Raises:
            KeyError: There is no such policy.
        """
        return explain(
            key,
            knob=self._state.knobs[key],
            spec=self._machine.specs[key],
            grid=self._machine.ranges[key],
            pin=self._machine.pin_of(key),
            watches=self._machine.watches_of(key),
            running=self._machine.running(),
            now=self._state.ticked_at or 0.0,
        )

    # ------------------------------------------------------------------- restart
    def dump(self) -> bytes:
        """The whole state; `load` of it goes on as if nothing had happened."""
        return encode(self._state)

    @classmethod
    def load(
        cls,
        data: bytes,
        rules: Iterable[RuleSpec],
        specs: Mapping[str, PolicySpec],
        *,
        limit_runs: float = 10_000.0,
        cluster_idle_s: float = 900.0,
        cluster_size: int = 50,
        cluster_age_s: float = 21_600.0,
        seed: int = 0,
        older: bool = False,
    ) -> Self:
        """Go on from a dump, under settings that may have changed since.

        With `older` it is of an older form: what lasts is taken over, running trials end.

        Raises:
            StateError: The bytes are no dump of this form, with `older` of no form.
        """
        fresh = cls(
            rules,
            specs,
            limit_runs=limit_runs,
            cluster_idle_s=cluster_idle_s,
            cluster_size=cluster_size,
            cluster_age_s=cluster_age_s,
            seed=seed,
        )
        if older:
            upgrade(data, fresh._state, fresh._machine.specs)
        else:
            carry_over(decode(data), fresh._state, fresh._machine.specs)
        return fresh

    def take_notices(self) -> list[Change]:
        """What the next `tick` would report of before it, so that it reports it no more."""
        taken, self._state.notices = self._state.notices, []
        return taken

    def note(self, changes: Iterable[Change]) -> None:
        """Let the next `tick` report these."""
        self._state.notices.extend(changes)


def _event_order(call: Observation) -> tuple[float, str, str, str, str]:
    return (call.at, str(call.session), call.kind, call.tool, call.outcome or "")
