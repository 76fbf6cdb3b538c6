"""What may stop a change, said once: empty means go, else `explain` prints it."""

from collections.abc import Sequence
from typing import Final

from timmyd.core.judging.paired import BETS
from timmyd.core.judging.rules.knobs import Knob, Range, in_the_way
from timmyd.core.judging.rules.watch import Watch
from timmyd.core.judging.rules.words import evidence_gap, span
from timmyd.core.judging.trials import DEADLINE_S, GUARD_MARGIN, MIN_PAIRS, SESSIONS_A_BLOCK
from timmyd.house.units import DAY_S

SPAN_S: Final = 4 * 3600.0
"""An alarm must stand so long before anything is tried: outages are the breakers' business."""
MORE: Final = 5
"""And for more than so many further sessions."""
PATIENCE: Final = 14.0
"""A refused relaxation, and the trial of a default, wait so many cooldowns; doubled each time."""
LEAST_EFFECT: Final = 0.1
"""A trial that could not show a gain of so much before its deadline is not begun."""

OBSERVES: Final = "the rule only observes"
NOT_OBEYED: Final = (
    "no telemetry shows this policy being obeyed (no call names the revision it ran under),"
    " so it is never put on trial: install the kit"
)
_NO_DATA: Final = {
    "turns_completed": "no turn records: install the kit",
    "held_back_share": "no call says whether it was held back: install the kit",
    "latency": "no call says how long it took: install the kit",
}
_LOG_EVIDENCE: Final = 4.0
"""ln(`KEEP`) and what the mixture of five bets costs on the way."""


def obstacles(
    watch: Watch, *, knob: Knob, grid: Range, pin: int | None, running: Sequence[str], now: float
) -> tuple[str, ...]:
    """Every condition that keeps a rule from trying a change now; empty: the next tick tries.

    Args:
        watch: The rule and its evidence.
        knob: Where its policy stands.
        grid: The policy's settings on the grid.
        pin: The value it is held at.
        running: The policies on trial anywhere.
        now: Unix seconds.
    """
    rule = watch.spec
    end = grid.least if rule.direction == "lower" else grid.most
    conditions = (
        (pin is not None, "the policy is pinned"),
        (knob.value == end, "the value is at its bound"),
        (not watch.obedience.obeyed, NOT_OBEYED),
        (knob.phase == "trial", "a change of this policy is on trial"),
        (knob.phase == "cool", f"it rests for {span(max(0.0, knob.until - now))} more"),
    )
    found = [words for holds, words in conditions if holds]
    found += [words for name in rule.guards if (words := _unguarded(watch, name, now))]
    found += [words for words in (_too_few(watch, now), _others(rule.policy, running)) if words]
    if knob.phase == "watch":
        gap = evidence_gap(watch, now, span_s=SPAN_S, more=MORE)
        found += [] if gap is None else [gap]
    return (*found, OBSERVES) if rule.mode == "observe" else tuple(found)


def restore_obstacles(
    keeper: Watch, *, knob: Knob, grid: Range, running: Sequence[str], now: float
) -> tuple[str, ...]:
    """When the default of a moved value is tried back: what must be over before; empty: now."""
    due = (knob.changed_at or 0.0) + PATIENCE * keeper.spec.cooldown * knob.restore_wait
    conditions = (
        (knob.value == grid.default, "never: it is in force"),
        (knob.phase != "watch", "once no change of it is on trial and it has rested"),
        (now < due, f"in {span(max(0.0, due - now))}"),
        (keeper.detector.value >= keeper.detector.level, "once the alarm is over"),
        (not keeper.obedience.obeyed, "once telemetry shows it being obeyed"),
        (
            keeper.pace.per_s(now) * DEADLINE_S < SESSIONS_A_BLOCK * MIN_PAIRS,
            "once there are sessions to judge it by",
        ),
        (
            in_the_way(keeper.spec.policy, list(running)) is not None,
            "as soon as nothing else is on trial",
        ),
    )
    return tuple(words for holds, words in conditions if holds)


def sessions_needed(variance: float, effect: float) -> float:
    """About how many sessions a paired test needs to show an effect.

    A pair of blocks of two sessions each has twice half the variance of a session's mean; its best
    bet gains effect² / (2 (variance + effect²)) a pair, and no bet more than its stake allows.

    Args:
        variance: Of the mean of one session.
        effect: The difference that is to be shown, above 0.
    """
    growth = min(effect**2 / (2.0 * (variance + effect**2)), BETS[-1] * effect)
    return 2.0 * SESSIONS_A_BLOCK * max(_LOG_EVIDENCE / growth, MIN_PAIRS)


def _too_few(watch: Watch, now: float) -> str | None:
    """Whether a gain could be shown before the deadline: no trial starts that cannot end."""
    mean, recent = watch.recent.mean, watch.recent
    if mean is None:
        return None
    worth = max(1.0, recent.count / max(recent.clusters, 1e-9))
    needed = sessions_needed(max(mean * (1.0 - mean), 0.01) / worth, LEAST_EFFECT)
    return _not_decidable(watch, needed, watch.pace.per_s(now), "calls of this kind")


def _not_decidable(watch: Watch, needed: float, pace_per_s: float, what: str) -> str | None:
    have = pace_per_s * DAY_S
    if have * DEADLINE_S / DAY_S >= needed:
        return None
    calls = max(1.0, watch.calls_a_session) if what != "sessions with them" else 1.0
    return (
        f"not decidable at your volume: needs about {_round(needed * calls * DAY_S / DEADLINE_S)}"
        f" {what} a day, you have {round(have * calls)}"
    )


def _unguarded(watch: Watch, name: str, now: float) -> str | None:
    """What a guard lacks to guard; a guard without data blocks."""
    guard = watch.guards.get(name)
    if guard is None or guard.pace.per_s(now) * DEADLINE_S < 2.0 * SESSIONS_A_BLOCK * MIN_PAIRS:
        return f"the guard {name} has no data: {_NO_DATA.get(name, 'no such calls of late')}"
    needed = sessions_needed(guard.variance, GUARD_MARGIN)
    short = _not_decidable(watch, needed, guard.pace.per_s(now), "sessions with them")
    return None if short is None else f"the guard {name} is {short}"


def _others(policy: str, running: Sequence[str]) -> str | None:
    other = in_the_way(policy, [name for name in running if name != policy])
    return None if other is None else f"{other} is on trial, and one trial a house is enough"


def _round(count: float) -> int:
    """Two digits are enough for a forecast."""
    digits = max(0, len(str(int(count))) - 2)
    return int(round(count, -digits))
