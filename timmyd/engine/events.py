"""What the judgement did and tries, as it is kept, shown and published."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from timmyd.core.estimating.notice import Notice, facts
from timmyd.core.judging.judgement import Judgement
from timmyd.core.judging.rules.knobs import Change
from timmyd.core.model import AdaptationEvent, iso
from timmyd.house.breaker import BreakerKey, Breakers
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


def event_of_notice(notice: Notice) -> AdaptationEvent:
    """What fell or recovered as the event that is kept and told."""
    went = "fell" if notice.kind == "fell" else "came back"
    return AdaptationEvent(
        timestamp=iso(notice.at) or "",
        trigger="notice",
        change_type=f"success.{notice.house}.{notice.subject}",
        old_value=notice.before,
        new_value=notice.now,
        reason=f"{notice.subject} in {notice.house} {went} from {notice.before:.0%} to"
        f" {notice.now:.0%} since {(iso(notice.since) or '')[:16]}",
        kind=notice.kind,
        evidence=facts(notice),
    )


def told_of(shown: Iterable[Notice], house: str, guarded: BreakerKey) -> list[str]:
    """What fell or recovered of a tool in a house, or of a model, a sentence each."""
    if guarded.model is not None:
        found = [one for one in shown if one.model == guarded.model]
    else:
        found = [one for one in shown if one.house == house and one.tool in (None, guarded.tool)]
    return [event_of_notice(one).reason for one in found]


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
