"""Let reading count for more as evidence, if a house's builds fail badly and a trial shows a gain."""

from timmyd.core.judging.rules.base import RuleSpec

RULES = (
    RuleSpec(
        name="very_low_build_success_rate",
        policy="*.confidence_boost_for_read_ops",
        signal="success_rate",
        task="build",
        limit=0.5,
        side="below",
        direction="raise",
        guard=("turns_completed", "held_back_share"),
    ),
)
"""The limit is lower than that of the evidence threshold, which is the first lever on the same signal."""
