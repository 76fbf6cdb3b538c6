"""Ask less evidence of a house before it builds, if its builds keep failing and a trial shows a gain."""

from timmyd.core.judging.rules.base import RuleSpec

GUARDS = ("turns_completed", "held_back_share")

RULES = (
    RuleSpec(
        name="low_ezra_success_rate",
        policy="ezra.evidence_threshold",
        signal="success_rate",
        house="ezra",
        task="build",
        limit=0.6,
        side="below",
        direction="lower",
        guard=GUARDS,
    ),
    RuleSpec(
        name="low_build_success_rate",
        policy="*.evidence_threshold",
        signal="success_rate",
        task="build",
        limit=0.6,
        side="below",
        direction="lower",
        guard=GUARDS,
    ),
    RuleSpec(
        name="failing_builds",
        policy="*.evidence_threshold",
        signal="success_rate",
        task="build",
        limit=0.6,
        side="below",
        direction="raise",
        guard="turns_completed",
    ),
)
"""The last is for houses that ask for no evidence yet, so that only asking for some can be tried.
The first is the original's only rule, by its name. Success alone must not relax a threshold that
exists to prevent hasty work (the share of success rises when less is asked), hence the guards."""
