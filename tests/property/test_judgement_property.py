"""The judgement under any traffic, any settings, any operator: CONTRACT of issue 5, point 9."""

import random
from typing import Literal

import msgspec
from hypothesis import given, settings, strategies as st

from timmyd.core.judging.judgement import Judgement
from timmyd.core.judging.rules import DEFAULT_RULES
from timmyd.core.judging.rules.base import Observation, PolicySpec, RuleSpec

KEYS = (
    "ezra.evidence_threshold",
    "ezra.confidence_boost_for_read_ops",
    "bezalel.evidence_threshold",
    "bezalel.parallel_test_threshold",
    "routing.min_confidence_for_auto_route",
    "routing.fallback_to_timmy_threshold",
)
SPEC = PolicySpec(default=0.8, least=0.6, most=0.95, step=0.1)
SPECS = dict.fromkeys(KEYS, SPEC)
FAST = tuple(msgspec.structs.replace(rule, cooldown=600.0) for rule in DEFAULT_RULES)
TICK_S = 1800.0


@st.composite
def batches(draw: st.DrawFn, *, ticks: int = 60) -> list[list[Observation]]:
    """Traffic tick by tick: mostly one mood at a time, so that alarms and trials do happen."""
    out: list[list[Observation]] = []
    seed = draw(st.integers(0, 10_000))
    rng = random.Random(seed)
    moods = draw(st.lists(st.floats(0.0, 1.0), min_size=3, max_size=6))
    told = draw(st.sampled_from([1.0, 0.5]))
    for tick in range(ticks):
        p = moods[tick * len(moods) // ticks]
        rows: list[Observation] = []
        for n in range(rng.randrange(0, 24)):
            kind: Literal["tool", "turn"] = "turn" if n % 5 == 4 else "tool"
            rows.append(
                Observation(
                    at=1e9 + TICK_S * tick + rng.random() * TICK_S,
                    session=seed + tick * 8 + n % 8,
                    house=rng.choice(["ezra", "bezalel", "timmy"]),
                    kind=kind,
                    tool=rng.choice(["terminal", "write_file"]),
                    task=rng.choice(["build", "build", "test"]),
                    outcome="ok" if rng.random() < p else rng.choice(["error", "timeout"]),
                    latency_ms=rng.choice([None, rng.random() * 1e4]),
                    policy=tick if rng.random() < told else None,
                    followed=rng.choice([None, True, False]),
                    fell_back=rng.choice([None, True]),
                    held_back=rng.choice([None, True, False]),
                    completed=rng.random() < p if kind == "turn" else None,
                )
            )
        out.append(rows)
    return out


def now_at(tick: int) -> float:
    return 1e9 + TICK_S * (tick + 1)


def bent(judgement: Judgement, rows: list[Observation]) -> list[Observation]:
    """The traffic under the published values: a lower threshold helps ezra and harms bezalel."""
    values = judgement.values()
    told: dict[str, str] = {}
    if values["ezra.evidence_threshold"] < 0.8:
        told["ezra"] = "ok"
    if values["bezalel.evidence_threshold"] < 0.8:
        told["bezalel"] = "error"
    return [msgspec.structs.replace(row, outcome=told.get(row.house, row.outcome)) for row in rows]


def drive(judgement: Judgement, traffic: list[list[Observation]]) -> list[object]:
    """Every decision and every published value, in order."""
    told: list[object] = []
    for tick, rows in enumerate(traffic):
        judgement.observe(bent(judgement, rows))
        told += judgement.tick(now_at(tick))
        told.append(judgement.values())
        judgement.published(tick + 1)
    return told


@given(st.lists(st.floats(0.0, 1e10, allow_nan=False), max_size=50), st.integers(0, 3))
def test_no_data_no_change_however_often_one_looks(times: list[float], idle: int) -> None:
    judgement = Judgement(DEFAULT_RULES, SPECS, cluster_idle_s=60.0 * (idle + 1))

    assert [change for at in times for change in judgement.tick(at)] == []
    assert set(judgement.values().values()) == {0.8}


@settings(max_examples=12)
@given(batches(ticks=150), st.integers(1, 60))
def test_once_the_calls_cease_a_trial_ends_and_then_nothing_moves(
    traffic: list[list[Observation]], days: int
) -> None:
    judgement = Judgement(FAST, SPECS, limit_runs=20.0)
    drive(judgement, traffic)
    quiet = now_at(len(traffic)) + 40 * 86_400.0
    for step in range(40 * 4):
        judgement.tick(now_at(len(traffic)) + 21_600.0 * step)
    values = judgement.values()

    assert not judgement.trials()
    assert not [c for day in range(days) for c in judgement.tick(quiet + 86_400.0 * day)]
    assert judgement.values() == values


@settings(max_examples=25)
@given(batches(), st.integers(0, 1000))
def test_the_order_within_a_tick_does_not_matter(
    traffic: list[list[Observation]], seed: int
) -> None:
    rng, shuffled = random.Random(seed), []
    for rows in traffic:
        copy = list(rows)
        rng.shuffle(copy)
        shuffled.append(copy)
    one, other = (Judgement(FAST, SPECS, limit_runs=20.0) for _ in range(2))

    assert drive(one, traffic) == drive(other, shuffled)
    assert one.dump() == other.dump()


@settings(max_examples=12)
@given(batches(ticks=150), st.data())
def test_a_restart_between_any_two_ticks_gives_the_same_decisions(
    traffic: list[list[Observation]], data: st.DataObject
) -> None:
    stops = data.draw(st.sets(st.integers(0, len(traffic) - 1), max_size=20))
    whole = Judgement(FAST, SPECS, limit_runs=20.0)
    told = drive(whole, traffic)
    halting = Judgement(FAST, SPECS, limit_runs=20.0)
    heard: list[object] = []
    for tick, rows in enumerate(traffic):
        halting.observe(bent(halting, rows))
        if tick in stops:
            halting = Judgement.load(halting.dump(), FAST, SPECS, limit_runs=20.0)
        heard += halting.tick(now_at(tick))
        heard.append(halting.values())
        halting.published(tick + 1)
        if tick in stops:
            halting = Judgement.load(halting.dump(), FAST, SPECS, limit_runs=20.0)

    assert heard == told
    assert halting.dump() == whole.dump()


numbers = st.floats(0.0, 1.0, allow_nan=False)


@settings(max_examples=25)
@given(
    batches(ticks=40),
    st.builds(PolicySpec, default=numbers, least=numbers, most=numbers, step=numbers),
    st.sampled_from(["lower", "raise"]),
    st.data(),
)
def test_bounds_hold_under_any_settings_and_any_hand(
    traffic: list[list[Observation]],
    spec: PolicySpec,
    direction: Literal["lower", "raise"],
    data: st.DataObject,
) -> None:
    rules = [
        RuleSpec(
            name=key,
            policy=key,
            signal="success_rate",
            limit=0.6,
            direction=direction,
            cooldown=0.0,
        )
        for key in KEYS
    ]
    judgement = Judgement(rules, dict.fromkeys(KEYS, spec), limit_runs=10.0)
    low, high = min(spec.least, spec.most), max(spec.least, spec.most)
    for tick, rows in enumerate(traffic):
        judgement.observe(rows)
        judgement.tick(now_at(tick))
        act = data.draw(st.sampled_from(["", "", "", "pin", "unpin", "rollback"]))
        if act == "unpin":
            judgement.unpin(KEYS[0], now=now_at(tick))
        elif act:
            value = data.draw(st.floats(-5, 5))
            getattr(judgement, act)(KEYS[0], value, now=now_at(tick))
        assert all(low <= value <= high for value in judgement.values().values())


@settings(max_examples=25)
@given(batches(ticks=40), st.floats(0.6, 0.95))
def test_a_pinned_key_never_moves_and_unpinned_is_where_it_was(
    traffic: list[list[Observation]], value: float
) -> None:
    judgement = Judgement(FAST, SPECS, limit_runs=10.0)
    held = judgement.pin(KEYS[0], value, now=0.0).new
    for tick, rows in enumerate(traffic):
        judgement.observe(rows)
        changes = judgement.tick(now_at(tick))
        assert judgement.values()[KEYS[0]] == held
        assert all(change.key != KEYS[0] for change in changes)
    judgement.unpin(KEYS[0], now=now_at(len(traffic)))

    assert judgement.values()[KEYS[0]] == 0.8


@settings(max_examples=25)
@given(batches(ticks=40), st.integers(0, 39), st.sampled_from([0.6, 0.7, 0.8, 0.9]))
def test_a_rollback_restores_the_value_and_ends_the_trial(
    traffic: list[list[Observation]], when: int, value: float
) -> None:
    judgement = Judgement(FAST, SPECS, limit_runs=10.0)
    for tick, rows in enumerate(traffic[: when + 1]):
        judgement.observe(rows)
        judgement.tick(now_at(tick))
    judgement.rollback(KEYS[0], value, now=now_at(when))

    assert judgement.values()[KEYS[0]] == value
    assert all(trial.policy != KEYS[0] for trial in judgement.trials())


@settings(max_examples=25)
@given(batches(ticks=40))
def test_no_two_trials_meet_in_one_house_or_in_the_fleet(traffic: list[list[Observation]]) -> None:
    judgement = Judgement(FAST, SPECS, limit_runs=10.0)
    for tick, rows in enumerate(traffic):
        judgement.observe(rows)
        judgement.tick(now_at(tick))
        owners = [trial.policy.partition(".")[0] for trial in judgement.trials()]
        assert len(set(owners)) == len(owners)
        assert "routing" not in owners or len(owners) == 1
