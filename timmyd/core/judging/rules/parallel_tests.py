"""Run more of a house's tests one at a time, if they keep failing and a trial shows a gain."""

from timmyd.core.judging.rules.base import RuleSpec

RULES = (
    RuleSpec(
        name="low_test_success_rate",
        policy="*.parallel_test_threshold",
        signal="success_rate",
        task="test",
        limit=0.5,
        side="below",
        direction="raise",
        guard="latency",
    ),
)
