"""Promises of the judgement: when it tries, keeps, takes back, rests, and what it says."""

import random
from collections.abc import Iterator

import msgspec
import pytest

from timmyd.core.judging.judgement import Change, Judgement, StateError
from timmyd.core.judging.rules.base import Observation, PolicySpec, RuleSpec

KEY = "ezra.evidence_threshold"
SPEC = PolicySpec(default=0.8, least=0.6, most=0.95, step=0.1)
RULE = RuleSpec(
    name="low", policy=KEY, signal="success_rate", limit=0.6, direction="lower", guard="turns_completed"
)  # fmt: skip
HOUR = 3600.0


class House:
    """A house whose success depends on the knob; a call a session, a session a minute."""

    def __init__(
        self,
        judgement: Judgement,
        *,
        helps: float = 0.0,
        guard: float | None = 0.0,
        base: float = 0.4,
        told: bool = True,
        key: str = KEY,
    ) -> None:
        self.judgement, self.helps, self.guard, self.base = judgement, helps, guard, base
        self.told, self.key, self.house = told, key, key.partition(".")[0]
        self.minute, self.revision, self.rng = 0, 1, random.Random(11)
        self.changes: list[Change] = []
        judgement.published(1)

    def calls(self, value: float) -> Iterator[Observation]:
        moved = (0.8 - value) * 10
        at, session = 60.0 * self.minute, self.minute
        policy = self.revision if self.told else None
        ok = self.rng.random() < self.base + self.helps * moved
        outcome = "ok" if ok else "error"
        yield Observation(at, session, self.house, outcome=outcome, task="build", policy=policy)
        if self.guard is not None:
            done = self.rng.random() < 0.7 + self.guard * moved
            yield Observation(at + 1, session, self.house, "turn", policy=policy, completed=done)

    def live(self, minutes: int, *, until: str = "") -> list[Change]:
        """Let time pass, until a change of this kind if one is named."""
        seen: list[Change] = []
        for _ in range(minutes):
            before = self.judgement.values()[self.key]
            self.judgement.observe(self.calls(before))
            self.minute += 1
            seen += self.judgement.tick(60.0 * self.minute)
            if self.judgement.values()[self.key] != before:
                self.revision += 1
                self.judgement.published(self.revision)
            if until and any(change.kind == until for change in seen):
                break
        self.changes += seen
        return seen


def judge(rule: RuleSpec = RULE, spec: PolicySpec = SPEC) -> Judgement:
    return Judgement([rule], {KEY: spec})


def number(change: Change, name: str) -> float:
    value = change.evidence[name]
    assert isinstance(value, (int, float))
    return value


def kinds(changes: list[Change]) -> list[str]:
    return [change.kind for change in changes]


def test_no_data_no_change() -> None:
    judgement = judge()

    assert [judgement.tick(HOUR * n) for n in range(200)] == [[]] * 200
    assert judgement.values() == {KEY: 0.8}
    assert "no data: no change" in judgement.explain(KEY)["rules"][0]["blocks"]


def test_trouble_begins_a_trial_only_after_it_has_lasted() -> None:
    house = House(judge())
    (started,) = house.live(60 * 12, until="trial_started")

    assert started.at >= 4 * HOUR
    assert (started.old, started.new, started.rule) == (0.8, 0.7, "low")
    assert number(started, "e_value") >= 10_000
    assert "0.6" in started.reason


def test_a_change_that_helps_is_kept_in_steps_down_to_the_bound_and_not_beyond() -> None:
    house = House(judge(msgspec.structs.replace(RULE, cooldown=HOUR)), helps=0.09, base=0.2)
    changes = house.live(60 * 24 * 20)

    assert [c.new for c in changes if c.kind == "kept"][:2] == [0.7, 0.6]
    assert min(c.new for c in changes) == 0.6


def test_a_change_that_harms_is_taken_back_and_the_next_one_waits_longer() -> None:
    house = House(judge(), helps=-0.2)
    house.live(60 * 24 * 40)
    backs = [c.at for c in house.changes if c.kind == "taken_back"]
    starts = [c.at for c in house.changes if c.kind == "trial_started"]

    assert "kept" not in kinds(house.changes)
    assert starts[1] - backs[0] >= 7 * 24 * HOUR
    assert starts[2] - backs[1] >= 14 * 24 * HOUR
    assert house.judgement.explain(KEY)["value"] == 0.8


def test_a_gain_that_the_guard_pays_for_is_not_kept() -> None:
    house = House(judge(), helps=0.3, guard=-0.3)
    (change,) = [c for c in house.live(60 * 24 * 14, until="taken_back") if c.kind == "taken_back"]

    assert "turns_completed" in change.reason
    assert number(change, "guard_turns_completed_e_harm") >= 10.0


def test_a_guard_without_data_blocks_and_it_is_said_what_is_missing() -> None:
    house = House(judge(), helps=0.3, guard=None)

    assert house.live(60 * 24 * 4) == []
    blocks = house.judgement.explain(KEY)["rules"][0]["blocks"]
    assert blocks == ["the guard turns_completed has no data: no turn records: install the kit"]


def test_a_change_is_not_kept_where_the_guard_falls_silent_during_the_trial() -> None:
    house = House(judge(), helps=0.3)
    house.live(60 * 24, until="trial_started")
    house.guard = None
    changes = house.live(60 * 24 * 15, until="taken_back")

    assert kinds(changes) == ["taken_back"]
    assert "turns_completed" in changes[-1].reason


def test_no_trial_starts_that_cannot_end_at_this_volume() -> None:
    judgement = judge()
    rng = random.Random(3)
    for session in range(1_500):
        at = session * 3 * HOUR
        judgement.observe(
            [
                Observation(
                    at + n, session, "ezra", outcome="ok" if rng.random() < 0.3 else "error",
                    task="build", policy=1,
                )
                for n in range(2)
            ]
            + [Observation(at + 5, session, "ezra", "turn", policy=1, completed=True)]
        )  # fmt: skip
        assert judgement.tick(at + 60.0) == []
    words = judgement.explain(KEY)["rules"][0]["blocks"][-1]

    assert words.startswith("not decidable at your volume: needs about ")
    assert words.endswith((" calls of this kind a day, you have 15", "you have 16"))


@pytest.mark.slow
def test_a_change_that_costs_a_tenth_of_the_turns_is_hardly_ever_kept() -> None:
    kept = 0
    for seed in range(40):
        house = House(judge(), helps=0.2, guard=-0.1)
        house.rng = random.Random(seed)
        kept += "kept" in kinds(house.live(60 * 24 * 6, until="kept"))

    assert kept <= 2


def test_what_was_relaxed_is_tried_back_at_its_default() -> None:
    house = House(judge(), helps=0.3)
    house.live(60 * 24 * 14, until="kept")
    house.base, house.helps = 0.85, 0.0
    house.live(60 * 24 * 30, until="restored")

    assert kinds(house.changes)[-2:] == ["trial_started", "restored"]
    assert house.changes[-1].at - house.changes[1].at >= 7 * 24 * HOUR
    assert house.judgement.values() == {KEY: 0.8}


def test_a_relaxation_that_still_helps_is_not_restored() -> None:
    house = House(judge(), helps=0.3, base=0.5)
    house.live(60 * 24 * 14, until="kept")
    house.live(60 * 24 * 20, until="restored")

    assert "restored" not in kinds(house.changes)
    assert house.judgement.explain(KEY)["value"] == 0.7


def test_observe_says_what_it_would_do_and_changes_nothing() -> None:
    house = House(judge(msgspec.structs.replace(RULE, mode="observe")))
    changes = house.live(60 * 24 * 4)

    assert kinds(changes) == ["observed"]
    assert "would try 0.7" in changes[0].reason
    assert house.judgement.values() == {KEY: 0.8}
    assert house.judgement.trials() == []


def test_a_key_that_nobody_obeys_is_never_tried() -> None:
    house = House(judge(), told=False)

    assert house.live(60 * 24 * 3) == []
    blocks = house.judgement.explain(KEY)["rules"][0]["blocks"]
    assert any("being obeyed" in words for words in blocks)


def test_where_only_some_calls_name_their_revision_the_rest_is_attributed_by_time_and_that_is_said() -> (
    None
):
    house = House(judge(), helps=0.3)
    real = house.calls

    def some(value: float) -> Iterator[Observation]:
        for call in real(value):
            yield call if house.minute % 5 == 0 else msgspec.structs.replace(call, policy=None)

    house.calls = some  # type: ignore[method-assign]
    house.live(60 * 24 * 14, until="kept")

    assert house.changes[-1].kind == "kept"
    assert house.changes[-1].evidence["attribution"] == "time"
    assert "attributed by time" in house.changes[-1].reason


def test_an_outage_that_has_passed_starts_nothing() -> None:
    house = House(judge(), base=0.9)
    house.live(60 * 24)
    house.base = 0.0
    house.live(90)
    house.base = 0.9
    house.live(60 * 48)

    assert house.changes == []


def test_a_fall_below_the_own_level_is_trouble_where_no_limit_is_known() -> None:
    fallen = msgspec.structs.replace(RULE, side="fallen", limit=0.05)
    house = House(judge(fallen), base=0.9)
    assert house.live(60 * 24 * 2) == []
    assert "below its own level" in house.judgement.explain(KEY)["rules"][0]["level"]
    house.base = 0.7
    (started,) = house.live(60 * 24, until="trial_started")

    assert "below its own level" in started.reason


def test_explain_says_how_much_is_missing_and_then_how_long_the_alarm_must_still_stand() -> None:
    house = House(judge(), base=0.45)
    house.live(60)
    first = house.judgement.explain(KEY)["rules"][0]
    house.live(60 * 5)
    second = house.judgement.explain(KEY)["rules"][0]

    assert first["missing_clusters"] > 0
    assert any("more sessions at the present level" in words for words in first["blocks"])
    assert any("the alarm has stood for" in words for words in second["blocks"])


def test_one_trial_at_a_time_a_house_and_the_fleet_waits_for_all() -> None:
    specs = {KEY: SPEC, "ezra.other": SPEC, "routing.x": SPEC}
    rules = [msgspec.structs.replace(RULE, name=key, policy=key, guard=None) for key in specs]
    judgement = Judgement(rules, specs)
    house = House(judgement)
    house.live(60 * 10)

    assert [trial.policy for trial in judgement.trials()] == [KEY]
    for key in ("ezra.other", "routing.x"):
        blocks = judgement.explain(key)["rules"][0]["blocks"]
        assert any("is on trial" in words for words in blocks)


def test_a_pin_ends_a_trial_holds_within_the_bounds_and_lets_go() -> None:
    house = House(judge())
    house.live(60 * 12, until="trial_started")
    pinned = house.judgement.pin(KEY, 0.2, now=60.0 * house.minute)

    assert (pinned.kind, pinned.new) == ("pinned", 0.6)
    assert house.live(60 * 24) == []
    assert house.judgement.values() == {KEY: 0.6}
    assert house.judgement.explain(KEY)["pinned"]
    assert house.judgement.unpin(KEY, now=60.0 * house.minute).new == 0.8


def test_a_pin_in_the_settings_holds() -> None:
    house = House(judge(spec=msgspec.structs.replace(SPEC, pin=0.75)))

    assert house.live(60 * 12) == []
    assert house.judgement.values() == {KEY: 0.75}


def test_a_rollback_restores_the_value_and_the_rule_rests() -> None:
    house = House(judge(), helps=0.3)
    house.live(60 * 24 * 14, until="kept")
    back = house.judgement.rollback(KEY, house.changes[-1].old, now=60.0 * house.minute)

    assert (back.kind, back.old, back.new) == ("rolled_back", 0.7, 0.8)
    assert house.judgement.values() == {KEY: 0.8}
    assert house.live(60 * 24 * 6) == []


def test_the_hand_on_a_policy_that_does_not_exist_is_refused() -> None:
    for act in (judge().pin, judge().rollback):
        with pytest.raises(KeyError):
            act("ezra.nothing", 0.5, now=0.0)
    with pytest.raises(KeyError):
        judge().explain("ezra.nothing")


def test_what_comes_too_late_is_counted_and_is_no_evidence() -> None:
    judgement = judge()
    judgement.tick(100_000.0)
    judgement.observe([Observation(99_000.0, 1, "ezra", outcome="error", policy=1)])
    judgement.observe([Observation(99_200.0, 2, "ezra", outcome="error", policy=1)])
    judgement.tick(102_000.0)

    assert judgement.late == 1
    assert judgement.explain(KEY)["rules"][0]["clusters"] == 1


def test_a_clock_that_jumps_back_stands_still() -> None:
    house = House(judge())
    house.live(60 * 3)
    before = house.judgement.explain(KEY)
    house.judgement.tick(5.0)

    assert house.judgement.explain(KEY) == before


def test_a_trial_shows_the_arm_in_force_and_its_coin() -> None:
    house = House(judge())
    house.live(60 * 12, until="trial_started")
    (view,) = house.judgement.trials()

    assert (view.policy, view.old, view.new) == (KEY, 0.8, 0.7)
    assert house.judgement.values()[KEY] == (view.new if view.arm == "new" else view.old)
    assert view.since < view.until
    assert set(str(view.figures["tosses"])) <= {"N", "O"}


def test_bytes_that_are_no_dump_are_refused() -> None:
    for data in (b"", b"\xff", judge().dump().replace(b"ticked_at\xc0", b"ticked_at\xa0")):
        for older in (False, True):
            with pytest.raises(StateError):
                Judgement.load(data, [RULE], {KEY: SPEC}, older=older)


def test_of_an_older_form_values_and_pins_last_and_a_trial_ends() -> None:
    house = House(judge(), helps=0.3)
    house.live(60 * 24 * 14, until="kept")
    kept = Judgement.load(house.judgement.dump(), [RULE], {KEY: SPEC}, older=True)
    assert kept.values() == {KEY: 0.7}
    house.judgement.pin(KEY, 0.75, now=60.0 * house.minute)
    pinned = Judgement.load(house.judgement.dump(), [RULE], {KEY: SPEC}, older=True)
    assert pinned.values() == {KEY: 0.75}
    assert kept.explain(KEY)["rules"][0]["clusters"] == 0


def test_an_upgrade_ends_a_running_trial_with_the_old_value_and_the_next_tick_says_so() -> None:
    house = House(judge())
    house.live(60 * 12, until="trial_started")
    now = 60.0 * house.minute

    again = Judgement.load(house.judgement.dump(), [RULE], {KEY: SPEC}, older=True)

    assert again.trials() == []
    assert again.values() == {KEY: 0.8}
    (told,) = again.tick(now)
    assert (told.kind, told.old, told.new) == ("ended_by_upgrade", 0.7, 0.8)
    assert "upgraded" in told.reason
    assert again.tick(now + 1.0) == []


def test_changed_settings_are_met_a_value_follows_its_bounds_and_its_default() -> None:
    house = House(judge(), helps=0.3)
    house.live(60 * 24 * 14, until="kept")
    dump = house.judgement.dump()
    tighter = msgspec.structs.replace(SPEC, least=0.75)
    fresh = judge().dump()
    moved = msgspec.structs.replace(SPEC, default=0.9)

    assert Judgement.load(dump, [RULE], {KEY: tighter}).values() == {KEY: 0.75}
    assert Judgement.load(fresh, [RULE], {KEY: moved}).values() == {KEY: 0.9}
    assert Judgement.load(dump, [], {KEY: SPEC}).values() == {KEY: 0.7}


def test_a_trial_whose_rule_changed_ends_and_says_so() -> None:
    house = House(judge())
    house.live(60 * 12, until="trial_started")
    other = msgspec.structs.replace(RULE, limit=0.5)
    observing = msgspec.structs.replace(RULE, mode="observe")
    pinned = msgspec.structs.replace(SPEC, pin=0.8)
    now = 60.0 * house.minute

    same = Judgement.load(house.judgement.dump(), [RULE], {KEY: SPEC})
    assert len(same.trials()) == 1
    for rules, spec in (([observing], SPEC), ([], SPEC), ([RULE], pinned)):
        changed = Judgement.load(house.judgement.dump(), rules, {KEY: spec})
        (told,) = changed.tick(now)
        assert (told.kind, told.reason) == ("taken_back", "the settings changed during the trial")
        assert changed.trials() == []
    reset = Judgement.load(house.judgement.dump(), [other], {KEY: SPEC})
    assert reset.explain(KEY)["rules"][0]["clusters"] == 0


def test_the_state_does_not_grow_with_history() -> None:
    house = House(judge(), base=0.7)
    house.live(60 * 24 * 2)
    early = len(house.judgement.dump())
    house.live(60 * 24 * 20)

    assert len(house.judgement.dump()) < early * 1.2


def test_a_pin_outside_the_bounds_is_held_at_the_bound_and_says_so() -> None:
    judgement = judge()
    change = judgement.pin(KEY, 0.2, now=1.0)

    assert judgement.values() == {KEY: 0.6}
    assert "0.2 is outside its bounds, so it is held at 0.6" in change.reason
    assert judgement.pin(KEY, 0.7, now=2.0).reason == "pinned by the operator"


def test_to_roll_back_what_was_taken_back_keeps_the_value_in_force() -> None:
    house = House(judge(), helps=0.3)
    house.live(60 * 24 * 14, until="kept")
    change = house.judgement.rollback(KEY, None, now=60.0 * house.minute)

    assert (change.old, change.new) == (0.7, 0.7)
    assert house.judgement.values() == {KEY: 0.7}
    assert "the value stays" in change.reason
