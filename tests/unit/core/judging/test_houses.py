"""Every house has the house keys, and asks for no evidence until a trial or a pin does."""

from timmyd.config import Settings
from timmyd.core.judging.houses import house_specs, moved
from timmyd.core.judging.judgement import Judgement
from timmyd.core.judging.rules import DEFAULT_RULES, expand
from timmyd.house.keys import HOUSE_KEYS, value_in_bounds


def test_a_house_has_all_keys_within_the_bounds_of_a_reader_and_a_rule_for_each() -> None:
    specs = house_specs("timmy")
    rules = {rule.policy: rule for rule in expand(DEFAULT_RULES, specs)}

    assert set(specs) == set(rules) == {f"timmy.{name}" for name in HOUSE_KEYS}
    assert all(value_in_bounds(key, one.default) for key, one in specs.items())
    assert rules["timmy.evidence_threshold"].direction == "raise"


def test_what_no_trial_or_pin_has_moved_is_not_published() -> None:
    specs = {**house_specs("timmy"), **Settings().policies}
    judgement = Judgement(DEFAULT_RULES, specs)
    assert set(moved(judgement.values())) == set(Settings().policies)

    judgement.pin("timmy.evidence_threshold", 0.6, now=1.0)
    assert moved(judgement.values())["timmy.evidence_threshold"] == 0.6
