"""Why a policy is what it is, and what stands between it and a change."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from timmyd.core.judging.rules.base import PolicySpec
from timmyd.core.judging.rules.knobs import Knob, Range, in_the_way, to_float
from timmyd.core.judging.rules.watch import Watch
from timmyd.core.judging.rules.words import (
    evidence_gap,
    figures,
    guards_of,
    level,
    span,
    trial_figures,
)
from timmyd.core.judging.trials import DEADLINE_S, MIN_PAIRS, SESSIONS_A_BLOCK

SPAN_S: Final = 4 * 3600.0
"""An alarm must stand so long before anything is tried: outages are the breakers' business."""
MORE: Final = 5
"""And for more than so many further sessions."""
PATIENCE: Final = 14.0
"""A refused relaxation, and the trial of a default, wait so many cooldowns; doubled each time."""

NOT_OBEYED: Final = (
    "no telemetry shows this policy being obeyed (no call names the revision it ran under),"
    " so it is never put on trial"
)


def explain(
    key: str,
    *,
    knob: Knob,
    spec: PolicySpec,
    grid: Range,
    pin: int | None,
    watches: Sequence[Watch],
    running: Sequence[str],
    now: float,
) -> dict[str, Any]:
    """Both answers on one policy, as plain data.

    Args:
        key: The policy.
        knob: Where it stands.
        spec: Its settings.
        grid: The same on the grid.
        pin: The value it is held at, by the operator or the settings.
        watches: Its rules and their evidence.
        running: The policies on trial anywhere.
        now: Unix seconds, as of the last tick.

    Returns:
        `value`, `in_force`, `default`, `least`, `most`, `since`, `phase`, `rule`, `reason`,
        `pinned`, `trial`, `rules` (each with its figures, `level` in words and `blocks`: what
        keeps it from trying a change now) and `blocks` of the restore where the value is moved.
    """
    trial = knob.trial
    return {
        "key": key,
        "value": to_float(knob.value, spec),
        "in_force": to_float(knob.in_force(pin), spec),
        "default": to_float(grid.default, spec),
        "least": to_float(grid.least, spec),
        "most": to_float(grid.most, spec),
        "since": knob.changed_at,
        "phase": "pinned" if pin is not None else knob.phase,
        "rule": knob.moved_by or "",
        "reason": knob.reason or "at its default: nothing has been shown to be better",
        "pinned": pin is not None,
        "trial": None
        if trial is None
        else {
            "rule": trial.rule,
            "kind": trial.kind,
            "old": to_float(trial.old, spec),
            "new": to_float(trial.new, spec),
            "arm": trial.arm,
            "since": trial.started_at,
            **trial_figures(trial),
            "guards": dict(guards_of(trial)),
        },
        "rules": [
            {
                "name": watch.spec.name,
                "mode": watch.spec.mode,
                "direction": watch.spec.direction,
                "level": level(watch),
                **figures(watch),
                "missing_clusters": watch.missing(),
                "blocks": _blocks(watch, knob=knob, grid=grid, pin=pin, running=running, now=now),
            }
            for watch in watches
        ],
        "restore": _restore(knob, grid, watches, now),
    }


def _blocks(
    watch: Watch,
    *,
    knob: Knob,
    grid: Range,
    pin: int | None,
    running: Sequence[str],
    now: float,
) -> list[str]:
    """Every condition that keeps the rule from trying a change now; empty: the next tick tries."""
    rule = watch.spec
    end = grid.least if rule.direction == "lower" else grid.most
    conditions = (
        (pin is not None, "the policy is pinned"),
        (knob.value == end, "the value is at its bound"),
        (not watch.obedience.obeyed, NOT_OBEYED),
        (not enough_traffic(watch, now), "too few sessions of late to judge a change by"),
        (rule.mode == "observe", "the rule only observes"),
        (knob.phase == "trial", "a change of this policy is on trial"),
        (knob.phase == "cool", f"it rests for {span(max(0.0, knob.until - now))} more"),
    )
    out = [words for holds, words in conditions if holds]
    others = [name for name in running if name != rule.policy]
    other = in_the_way(rule.policy, others)
    if other is not None:
        out.append(f"{other} is on trial, and one trial a house is enough")
    if knob.phase == "watch":
        gap = evidence_gap(watch, now, span_s=SPAN_S, more=MORE)
        if gap is not None:
            out.append(gap)
    return out


def _restore(knob: Knob, grid: Range, watches: Sequence[Watch], now: float) -> str | None:
    """When the default is tried back; None at the default."""
    keeper = keeper_of(knob, watches)
    if knob.value == grid.default or keeper is None:
        return None
    due = (knob.changed_at or 0.0) + PATIENCE * keeper.spec.cooldown * knob.restore_wait
    if now < due:
        return f"the default is tried back in {span(due - now)}"
    if keeper.detector.value >= keeper.detector.level:
        return "the default is tried back once the alarm is over"
    if not enough_traffic(keeper, now):
        return "the default is tried back once there are sessions to judge it by"
    return "the default is tried back as soon as nothing else is on trial"


def keeper_of(knob: Knob, watches: Sequence[Watch]) -> Watch | None:
    """The rule that answers for a value off its default: the one that moved it, or the first."""
    by_name: Mapping[str, Watch] = {watch.spec.name: watch for watch in watches}
    if knob.moved_by in by_name:
        return by_name[knob.moved_by or ""]
    return watches[0] if watches else None


def enough_traffic(watch: Watch, now: float) -> bool:
    """Whether a trial could show anything before its deadline: no data, no change."""
    return watch.pace.per_s(now) * DEADLINE_S >= SESSIONS_A_BLOCK * MIN_PAIRS
