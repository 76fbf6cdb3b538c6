"""Promises of the rule table: what is wrong with a rule is said, and stars become houses."""

import math

import msgspec
import pytest

from timmyd.core.judging.rules import expand, problems
from timmyd.core.judging.rules.base import Observation, PolicySpec, RuleSpec
from timmyd.core.judging.rules.knobs import GRID, Range, in_the_way, range_of, to_float
from timmyd.core.judging.rules.routes import Routes
from timmyd.core.judging.rules.watch import ObeyedCalls, limit_of, new_watch

KEYS = ("ezra.k", "bezalel.k", "routing.r")
SPEC = PolicySpec(default=0.8, least=0.6, most=0.95, step=0.1)
RULE = RuleSpec(name="r", policy="ezra.k", signal="success_rate", limit=0.6, direction="lower")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("policy", "ezra.unknown"),
        ("policy", "*.unknown"),
        ("signal", "luck"),
        ("signal", "latency"),
        ("limit", 0.0),
        ("limit", 1.0),
        ("limit", math.nan),
        ("side", "above"),
        ("guard", "latency_p95"),
        ("guard", ("turns_completed", "luck")),
        ("cooldown", -1.0),
        ("cooldown", math.inf),
    ],
)
def test_what_is_wrong_is_said_with_its_field(field: str, value: object) -> None:
    rule = msgspec.structs.replace(RULE, **{field: value})

    assert [place for place, _ in problems(rule, KEYS)] == [field]


def test_a_latency_quantile_has_its_limit_in_milliseconds_and_its_share_from_its_name() -> None:
    rule = msgspec.structs.replace(RULE, signal="latency_p95", limit=2000.0, side="above")

    assert problems(rule, KEYS) == []
    assert limit_of(rule) == pytest.approx(0.05)
    assert [field for field, _ in problems(msgspec.structs.replace(rule, limit=-1.0), KEYS)] == [
        "limit"
    ]


def test_only_what_is_good_when_high_can_have_fallen() -> None:
    fallen = msgspec.structs.replace(RULE, side="fallen", limit=0.05)
    share = msgspec.structs.replace(fallen, signal="held_back_share")

    assert problems(fallen, KEYS) == []
    assert [field for field, _ in problems(share, KEYS)] == ["side"]


def test_a_star_stands_for_every_house_without_an_own_rule() -> None:
    star = msgspec.structs.replace(RULE, name="star", policy="*.k")
    out = expand([RULE, star], dict.fromkeys(KEYS, SPEC))

    assert [(rule.name, rule.policy, rule.scope) for rule in out] == [
        ("r", "ezra.k", "ezra"),
        ("star:bezalel", "bezalel.k", "bezalel"),
    ]


def test_a_rule_for_a_key_that_does_not_exist_drops_out() -> None:
    assert expand([RULE], {"other.k": SPEC}) == ()


def test_a_guard_may_be_one_name_or_several() -> None:
    decode = msgspec.json.Decoder(RuleSpec).decode
    head = b'{"name":"r","policy":"a.b","signal":"success_rate","limit":0.5,"direction":"lower"'

    assert decode(head + b"}").guards == ()
    assert decode(head + b',"guard":"latency"}').guards == ("latency",)
    assert decode(head + b',"guard":["latency","confidence"]}').guards == ("latency", "confidence")


def test_values_stay_on_the_grid_so_that_three_steps_of_a_tenth_do_not_drift_past_the_bound() -> (
    None
):
    grid = range_of(SPEC)
    value = grid.default
    for _ in range(3):
        value = grid.toward(value, grid.least)

    assert to_float(value, SPEC) == 0.6
    assert grid == Range(default=8000, least=6000, most=9500, step=1000)


@pytest.mark.parametrize(
    "spec",
    [
        PolicySpec(default=0.8, least=0.9, most=0.1, step=0.1),
        PolicySpec(default=5.0, least=0.1, most=0.9, step=-0.1),
        PolicySpec(default=0.333333, least=0.333331, most=0.333334, step=0.0),
    ],
)
def test_whatever_the_settings_the_published_value_is_inside_them(spec: PolicySpec) -> None:
    grid = range_of(spec)
    low, high = min(spec.least, spec.most), max(spec.least, spec.most)

    for value in (grid.least, grid.default, grid.most, grid.clamp(-GRID), grid.clamp(9 * GRID)):
        assert low <= to_float(value, spec) <= high
    assert grid.step >= 1


def test_one_trial_a_house_and_routing_is_the_whole_fleet() -> None:
    assert in_the_way("ezra.k", ["ezra.other"]) == "ezra.other"
    assert in_the_way("ezra.k", ["bezalel.k"]) is None
    assert in_the_way("routing.r", ["bezalel.k"]) == "bezalel.k"
    assert in_the_way("ezra.k", ["routing.r"]) == "routing.r"


def test_a_call_reaches_only_the_rules_in_whose_scope_it_is() -> None:
    rules = [
        msgspec.structs.replace(RULE, task="build", guard="turns_completed"),
        msgspec.structs.replace(RULE, name="tool", tool="terminal"),
        msgspec.structs.replace(RULE, name="fleet", policy="routing.r"),
    ]
    routes = Routes(rules)

    def of(**facts: object) -> dict[str, list[str]]:
        call = msgspec.structs.replace(Observation(0.0, "s", "ezra"), **facts)
        return {name: [stream for stream, _ in streams] for name, streams in routes.of(call)}

    assert of(task="build", tool="make") == {"r": [""], "fleet": [""]}
    assert of(task="read", tool="terminal") == {"tool": [""], "fleet": [""]}
    assert of(house="bezalel", task="build") == {"fleet": [""]}
    assert of(kind="turn") == {"r": ["turns_completed"]}


def test_obedience_is_what_lately_was_told() -> None:
    seen = ObeyedCalls()
    assert not seen.obeyed
    for _ in range(50):
        seen.update(told=True)
    assert seen.obeyed
    assert seen.by_revision
    for _ in range(600):
        seen.update(told=False)
    assert seen.obeyed
    assert not seen.by_revision
    for _ in range(4000):
        seen.update(told=False)
    assert not seen.obeyed


def test_how_much_is_missing_is_about_how_much_it_takes() -> None:
    watch = new_watch(RULE, level=1e4, idle_s=10.0, size=50, age_s=100.0)
    assert watch.missing() is None, "no data"
    guesses = []
    for n in range(400):
        for closed in [*watch.clusters.add(str(n), float(n % 5 < 2), n), *watch.clusters.over(n)]:
            watch.close(closed, testing=True)
        guess = watch.missing()
        if guess == 0.0:
            break
        if guess is not None and n > 30:
            guesses.append(n + guess)
    took = watch.detector.seen

    assert watch.detector.value >= watch.detector.level
    assert all(took / 3 < guess < took * 3 for guess in guesses)
