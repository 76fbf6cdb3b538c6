"""What the judgement did and tries, as it is kept, shown and published."""

from collections.abc import Mapping
from typing import Any, Final

from timmyd.core.judging.judgement import Judgement
from timmyd.core.judging.rules.knobs import Change
from timmyd.core.model import AdaptationEvent, iso
from timmyd.house.breaker import Breakers
from timmyd.house.circuit import CLOSED, HALF_OPEN, OPEN

_KIND_OF_STATE: Final = {
    OPEN: "breaker_opened",
    HALF_OPEN: "breaker_half_opened",
    CLOSED: "breaker_closed",
}


def event_of(change: Change) -> AdaptationEvent:
    """A change of the judgement as the event that is kept and shown."""
    gain = change.evidence.get("gain")
    return AdaptationEvent(
        timestamp=iso(change.at) or "",
        trigger=change.rule or "operator",
        change_type=f"policy.{change.key}",
        old_value=change.old,
        new_value=change.new,
        reason=change.reason,
        expected_improvement=gain if isinstance(gain, float) else None,
        kind=change.kind,
        evidence=change.evidence,
    )


def trials_of(judgement: Judgement) -> list[dict[str, Any]]:
    """The running trials as the policy document has them."""
    return [
        {
            "policy": trial.policy,
            "old": trial.old,
            "new": trial.new,
            "arm": trial.arm,
            "since": trial.since,
            "until": trial.until,
        }
        for trial in judgement.trials()
    ]


States = Mapping[tuple[str, str], tuple[str, str]]
"""By house and name of a breaker: its state, and why."""


def states_of(breakers: Breakers) -> States:
    """How the breakers stand."""
    return {(key.house, key.name): (breaker.state, breaker.reason) for key, breaker in breakers}


def breaker_events(before: States, after: States, *, now: float) -> list[AdaptationEvent]:
    """What opened, half-opened or closed, by house and name."""
    events = []
    for key, (state, reason) in sorted(after.items()):
        old = before.get(key, (CLOSED, ""))[0]
        if state != old:
            house, name = key
            events.append(
                AdaptationEvent(
                    timestamp=iso(now) or "",
                    trigger="breaker",
                    change_type=f"breaker.{house}.{name}",
                    old_value=old,
                    new_value=state,
                    reason=reason or "works again",
                    kind=_KIND_OF_STATE[state],
                )
            )
    return events
