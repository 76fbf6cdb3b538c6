"""Promises of a trial: the coin, the attribution, the verdict."""

import random

import msgspec
import pytest

from timmyd.core.judging.paired import Blocks, PairedTest
from timmyd.core.judging.trials import (
    DEADLINE_S,
    DROP,
    GUARD_MARGIN,
    KEEP,
    MAX_PAIRS,
    MIN_PAIRS,
    Kind,
    Trial,
    block_length_s,
    toss,
    verdict,
)


def trial(*, attribution: str = "revision", guard: bool = False, kind: Kind = "relax") -> Trial:
    return Trial(
        key="ezra.k",
        rule="r",
        kind=kind,
        old=8000,
        new=7000,
        started_at=1000.0,
        block_s=600.0,
        seed=7,
        attribution="revision" if attribution == "revision" else "time",
        signal=PairedTest(margin=0.0 if kind == "relax" else -0.05),
        guards={"turns_completed": PairedTest()} if guard else {},
        intact={"turns_completed": PairedTest(margin=-GUARD_MARGIN)} if guard else {},
    )


def pair(new: float, old: float, calls: int = 10) -> Blocks:
    blocks = Blocks({}, {})
    for n in range(calls):
        blocks.add("new", f"n{n}", new)
        blocks.add("old", f"o{n}", old)
    return blocks


def feed(test: PairedTest, new: float, old: float, pairs: int) -> None:
    for _ in range(pairs):
        test.settle(pair(new, old), rho=0.2, better="high")


def test_the_coin_is_fair_repeatable_and_depends_on_the_seed() -> None:
    tosses = [toss(1, "a.b", 5.0, n) for n in range(2000)]

    assert tosses == [toss(1, "a.b", 5.0, n) for n in range(2000)]
    assert tosses != [toss(2, "a.b", 5.0, n) for n in range(2000)]
    assert 900 < sum(tosses) < 1100


def test_both_arms_of_a_pair_get_one_block_and_every_toss_is_logged() -> None:
    it = trial()
    arms = [it.turn(1000.0 + 600.0 * n) for n in range(40)]

    for first, second in zip(arms[::2], arms[1::2], strict=True):
        assert {first, second} == {"new", "old"}
    assert it.tosses == "".join("N" if arm == "new" else "O" for arm in arms[::2])


def test_calls_are_attributed_by_the_revision_they_ran_under_whatever_their_time() -> None:
    it = trial()
    revision, arms = 10, {}
    for n in range(8):
        before = it.arm if it.steps else None
        arm = it.turn(1000.0 + 600.0 * n)
        if arm != before:
            revision += 1
            it.published(revision)
        arms[revision] = arm
    for at_revision, arm in arms.items():
        place = it.place(5000.0, at_revision)
        assert place is not None
        assert place.arm == arm
    assert it.place(5000.0, 9) is None, "a revision from before the trial"
    assert it.place(900.0, 12) is None, "a call from before the trial"
    assert it.place(5000.0, None) is None, "a call that cannot tell, where the others can"


def test_where_one_arm_goes_on_into_the_next_pair_the_time_tells_the_pairs_apart() -> None:
    it = trial()
    n = 0
    while True:
        before = it.steps[-1] if it.steps else None
        arm = it.turn(1000.0 + 600.0 * n)
        if before is None or before.arm != arm:
            it.published(n + 1)
        elif before.pair != it.steps[-1].pair:
            break
        n += 1
    border = it.steps[-1].at
    earlier, later = it.place(border - 1.0, n + 9), it.place(border + 1.0, n + 9)

    assert earlier is not None
    assert later is not None
    assert (earlier.pair + 1, earlier.arm) == (later.pair, later.arm)


def test_without_revisions_calls_are_attributed_by_time_and_not_while_nobody_switched() -> None:
    it = trial(attribution="time")
    first = it.turn(1000.0)
    place = it.place(1100.0, None)

    assert place is not None
    assert place.arm == first
    assert it.place(1600.0 + 301.0, None) is None, "the block is over and no tick came"
    assert it.place(999.0, None) is None


def test_a_settled_pair_takes_no_more_calls() -> None:
    it = trial(attribution="time")
    for n in range(4):
        it.turn(1000.0 + 600.0 * n)
    assert it.place(1100.0, None) is not None

    it.settle(1000.0 + 4 * 600.0, grace_s=900.0, ways={"": (0.2, "high")})

    assert it.settled == 1
    assert it.signal.skipped == 1
    assert it.place(1100.0, None) is None


def test_no_effect_reaches_the_evidence_to_keep_at_most_once_in_twenty() -> None:
    reached = 0
    for seed in range(300):
        rng = random.Random(seed)
        test = PairedTest()
        for n in range(150):
            level = 0.5 + 0.4 * (n % 2)
            blocks = Blocks({}, {})
            for arm in ("new", "old"):
                for s in range(1 + int(rng.random() * 4)):
                    for _ in range(3):
                        blocks.add(
                            "new" if arm == "new" else "old", str(s), float(rng.random() < level)
                        )
            test.settle(blocks, rho=0.2, better="high")
            if test.better >= KEEP:
                reached += 1
                break

    assert reached <= 22, "300 trials at 1/20, three standard errors"


def test_a_gain_is_kept_and_a_harm_is_taken_back() -> None:
    gain, harm = trial(), trial()
    feed(gain.signal, 0.9, 0.5, 40)
    feed(harm.signal, 0.5, 0.9, 40)
    kept, back = verdict(gain, 50_000.0), verdict(harm, 50_000.0)

    assert kept is not None
    assert kept.keep
    assert back is not None
    assert not back.keep
    assert harm.signal.worse >= DROP


def test_low_is_better_where_the_signal_says_so() -> None:
    test = PairedTest()
    for _ in range(30):
        test.settle(pair(0.2, 0.6), rho=0.2, better="low")

    assert test.gain == pytest.approx(0.4)
    assert test.better > KEEP > 1.0 > test.worse


def test_nothing_is_decided_on_a_few_pairs() -> None:
    it = trial()
    feed(it.signal, 1.0, 0.0, MIN_PAIRS - 1)

    assert verdict(it, 2000.0) is None


def test_a_gain_with_a_harmed_guard_is_taken_back() -> None:
    it = trial(guard=True)
    feed(it.signal, 0.9, 0.5, 40)
    feed(it.guards["turns_completed"], 0.5, 0.9, 40)
    judged = verdict(it, 50_000.0)

    assert judged is not None
    assert not judged.keep
    assert "turns_completed" in judged.words


def test_a_gain_waits_while_a_guard_looks_worse_and_ends_with_the_old_value() -> None:
    it = trial(guard=True)
    feed(it.signal, 0.9, 0.5, 40)
    feed(it.guards["turns_completed"], 0.60, 0.68, 3)

    assert verdict(it, 50_000.0) is None
    late = verdict(it, 1000.0 + DEADLINE_S)
    assert late is not None
    assert not late.keep


def test_a_gain_is_kept_only_where_the_guard_is_shown_to_be_intact() -> None:
    silent, short, fine = (trial(guard=True) for _ in range(3))
    for it, pairs in ((silent, 0), (short, MIN_PAIRS), (fine, 60)):
        feed(it.signal, 0.9, 0.5, 40)
        feed(it.guards["turns_completed"], 0.7, 0.7, pairs)
        feed(it.intact["turns_completed"], 0.7, 0.7, pairs)

    judged = verdict(fine, 50_000.0)
    assert judged is not None
    assert judged.keep
    for it in (silent, short):
        assert verdict(it, 50_000.0) is None
        late = verdict(it, 1000.0 + DEADLINE_S)
        assert late is not None
        assert not late.keep


def test_without_a_shown_gain_the_old_value_stays_and_without_a_shown_loss_the_default() -> None:
    relax, restore = trial(), trial(kind="restore")
    feed(relax.signal, 0.7, 0.7, MAX_PAIRS)
    feed(restore.signal, 0.7, 0.7, 10)
    kept, back = verdict(relax, 50_000.0), verdict(restore, 1000.0 + DEADLINE_S)

    assert kept is not None
    assert not kept.keep
    assert back is not None
    assert back.keep


def test_a_default_that_is_shown_to_be_worse_is_not_restored() -> None:
    it = trial(kind="restore")
    feed(it.signal, 0.4, 0.9, 60)
    judged = verdict(it, 50_000.0)

    assert judged is not None
    assert not judged.keep


def test_blocks_last_about_two_sessions_within_ten_minutes_and_twelve_hours() -> None:
    assert block_length_s(1 / 1800.0) == 3600.0
    assert block_length_s(10.0) == 600.0
    assert block_length_s(0.0) == block_length_s(1e-9) == 43_200.0


def test_a_trial_survives_a_restart_bit_for_bit() -> None:
    it = trial(guard=True)
    for n in range(7):
        it.turn(1000.0 + 600.0 * n)
        it.published(n)
    place = it.steps[-1]
    it.add(place, "", "s", 0.1)
    feed(it.signal, 0.71, 0.43, 9)

    assert msgspec.msgpack.decode(msgspec.msgpack.encode(it), type=Trial) == it
