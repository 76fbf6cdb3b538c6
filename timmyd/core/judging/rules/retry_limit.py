"""Refuse repeats of a failed call earlier, if many calls are wasted on them and a trial shows that fewer are."""

from timmyd.core.judging.rules.base import RuleSpec

RULES = (
    RuleSpec(
        name="wasted_on_repeats",
        policy="*.retry_limit",
        signal="wasted_share",
        limit=0.02,
        side="above",
        direction="lower",
        guard="turns_completed",
    ),
)
