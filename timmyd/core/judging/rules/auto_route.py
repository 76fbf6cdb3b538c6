"""Apply fewer choices by themselves, if the calls that followed them keep failing and a trial shows a gain."""

from timmyd.core.judging.rules.base import RuleSpec

RULES = (
    RuleSpec(
        name="low_followed_success",
        policy="routing.min_confidence_for_auto_route",
        signal="followed_success",
        limit=0.6,
        side="below",
        direction="raise",
        guard="not_followed_success",
    ),
)
