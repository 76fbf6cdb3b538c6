"""What every shipped rule promises; a new rule is picked up with no edit."""

import msgspec
import pytest

from timmyd.core.judging.judgement import Judgement
from timmyd.core.judging.rules import DEFAULT_RULES, RULES, SIGNALS, expand, problems
from timmyd.core.judging.rules.base import Observation, PolicySpec, RuleSpec
from timmyd.core.judging.rules.watch import limit_of
from timmyd.house.keys import HOUSE_KEYS, KEYS, spec

SPECS = {
    key: PolicySpec(default=known.default, least=known.least, most=known.most, step=known.step)
    for key, known in KEYS.items()
}
GUARDS = {
    "evidence_threshold": {"turns_completed", "held_back_share"},
    "confidence_boost_for_read_ops": {"turns_completed", "held_back_share"},
    "parallel_test_threshold": {"latency"},
    "min_confidence_for_auto_route": {"not_followed_success"},
    "fallback_to_timmy_threshold": {"latency"},
    "retry_limit": {"turns_completed"},
}

SIGNAL_OF = {
    "min_confidence_for_auto_route": "followed_success",
    "fallback_to_timmy_threshold": "fell_back_success",
    "retry_limit": "wasted_share",
}


def tail(rule: RuleSpec) -> str:
    return rule.policy.partition(".")[2]


def calls(rule: RuleSpec, *, bad: bool, sessions: int, told: bool = True) -> list[Observation]:
    """Traffic in the scope of a rule, on the wrong or on the right side of its limit."""
    wrong = bad == (rule.side == "below")
    policy = 1 if told else None
    house = rule.scope or "timmy"
    guards = [
        *(Observation(60.0 * n, n, house, "turn", policy=policy, completed=True)
          for n in range(sessions)),
        *(Observation(60.0 * n, n, house, outcome="ok", policy=policy, followed=False)
          for n in range(sessions) if rule.policy.startswith("routing.")),
    ]  # fmt: skip
    return guards + [
        Observation(
            at=60.0 * n,
            session=n,
            house=rule.scope or "timmy",
            tool=rule.tool or "terminal",
            task=rule.task,
            outcome="error" if wrong else "ok",
            latency_ms=1.0 if wrong else 1e9,
            confidence=0.0 if wrong else 1.0,
            policy=1 if told else None,
            followed=rule.signal != "not_followed_success",
            fell_back=True,
            held_back=not wrong,
            wasted=not wrong,
        )
        for n in range(sessions)
    ]


def test_every_key_is_covered_by_a_rule_on_the_signal_and_guard_of_the_contract() -> None:
    covered = {rule.policy: rule for rule in expand(RULES, SPECS)}

    assert set(covered) == set(KEYS)
    for key, rule in covered.items():
        known = spec(key)
        assert known is not None
        assert set(rule.guards) == GUARDS[tail(rule)]
        assert rule.guards == known.guards
        assert rule.signal == known.signal == SIGNAL_OF.get(tail(rule), "success_rate")
        assert rule.task == known.task
        assert rule.scope == (None if key.startswith("routing.") else key.partition(".")[0])


def test_every_house_that_has_the_house_keys_is_covered() -> None:
    specs = {f"other.{name}": SPECS["ezra.evidence_threshold"] for name in HOUSE_KEYS}

    assert {rule.policy for rule in expand(RULES, specs)} == set(specs)
    assert all(rule.scope == "other" for rule in expand(RULES, specs))


def test_names_are_unique_also_after_expansion() -> None:
    names = [rule.name for rule in expand(DEFAULT_RULES, SPECS)]

    assert len(set(names)) == len(names)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_shipped_rule_has_no_problem_and_survives_the_settings_file(rule: RuleSpec) -> None:
    assert problems(rule, KEYS) == []
    assert msgspec.convert(_table(rule), RuleSpec) == rule
    assert 0.0 < limit_of(rule) < 1.0


def _table(rule: RuleSpec) -> dict[str, object]:
    return {name: value for name, value in msgspec.to_builtins(rule).items() if value is not None}


@pytest.mark.parametrize("rule", expand(RULES, SPECS), ids=lambda rule: rule.name)
def test_a_rule_tries_one_step_in_its_direction_on_trouble_and_nothing_without(
    rule: RuleSpec,
) -> None:
    for bad in (True, False):
        judgement = Judgement([rule], SPECS)
        judgement.observe(calls(rule, bad=bad, sessions=600))
        changes = judgement.tick(600 * 60.0)
        if not bad:
            assert changes == []
            continue
        (change,) = changes
        known = SPECS[rule.policy]
        step = -known.step if rule.direction == "lower" else known.step
        assert change.kind == "trial_started"
        assert change.new == pytest.approx(known.default + step)
        assert known.least <= change.new <= known.most


@pytest.mark.parametrize("rule", expand(RULES, SPECS), ids=lambda rule: rule.name)
def test_a_rule_that_nobody_obeys_tries_nothing_and_says_so(rule: RuleSpec) -> None:
    judgement = Judgement([rule], SPECS)
    judgement.observe(calls(rule, bad=True, sessions=600, told=False))

    assert judgement.tick(600 * 60.0) == []
    (told,) = judgement.explain(rule.policy)["rules"]
    assert any("being obeyed" in words for words in told["blocks"])


@pytest.mark.parametrize("name", sorted(SIGNALS))
def test_a_signal_is_a_share_or_unknown_whatever_it_is_shown(name: str) -> None:
    signal = SIGNALS[name]
    shown = [
        Observation(1.0, "s", "h", signal.kind),
        *(
            Observation(1.0, "s", "h", signal.kind, outcome=outcome, latency_ms=latency,
                        confidence=confidence, followed=flag, held_back=flag, fell_back=flag,
                        completed=flag, wasted=flag)
            for outcome in ("ok", "error", "timeout", "blocked", "cancelled", "rejected", "unknown")
            for latency in (None, -5.0, 0.0, 3.0, 1e18)
            for confidence in (None, -1.0, 0.4, 7.0)
            for flag in (None, True, False)
        ),
    ]  # fmt: skip
    values = [signal.value(observation, 100.0) for observation in shown]

    assert values[0] is None, "no data is unknown"
    assert any(x is not None for x in values)
    assert all(x is None or 0.0 <= x <= 1.0 for x in values)
