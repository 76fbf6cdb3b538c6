"""What the judgement did and tries, as it is kept, shown and published."""

from typing import Any

from timmyd.core.judging.judgement import Judgement
from timmyd.core.judging.rules.knobs import Change
from timmyd.core.model import AdaptationEvent, iso


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
