"""Send fewer tools back to timmy, if what he was sent keeps failing and a trial shows a gain."""

from timmyd.core.judging.rules.base import RuleSpec

RULES = (
    RuleSpec(
        name="low_fallback_success",
        policy="routing.fallback_to_timmy_threshold",
        signal="fell_back_success",
        limit=0.4,
        side="below",
        direction="lower",
        guard="latency",
    ),
)
