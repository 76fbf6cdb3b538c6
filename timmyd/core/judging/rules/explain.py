"""Why a policy is what it is, and what stands between it and a change."""

from collections.abc import Mapping, Sequence
from typing import Any

from timmyd.core.judging.rules.base import PolicySpec
from timmyd.core.judging.rules.knobs import Knob, Range, to_float
from timmyd.core.judging.rules.obstacles import obstacles, restore_obstacles
from timmyd.core.judging.rules.watch import Watch
from timmyd.core.judging.rules.words import (
    figures,
    guards_of,
    level,
    trial_figures,
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
                "blocks": list(
                    obstacles(watch, knob=knob, grid=grid, pin=pin, running=running, now=now)
                ),
            }
            for watch in watches
        ],
        "restore": _restore(knob, grid, watches, running, now),
    }


def _restore(
    knob: Knob, grid: Range, watches: Sequence[Watch], running: Sequence[str], now: float
) -> str | None:
    """When the default is tried back; None at the default."""
    keeper = keeper_of(knob, watches)
    if knob.value == grid.default or keeper is None:
        return None
    stops = restore_obstacles(keeper, knob=knob, grid=grid, running=running, now=now)
    return f"the default is tried back {stops[0] if stops else 'at the next tick'}"


def keeper_of(knob: Knob, watches: Sequence[Watch]) -> Watch | None:
    """The rule that answers for a value off its default: the one that moved it, or the first."""
    by_name: Mapping[str, Watch] = {watch.spec.name: watch for watch in watches}
    if knob.moved_by in by_name:
        return by_name[knob.moved_by or ""]
    return watches[0] if watches else None
