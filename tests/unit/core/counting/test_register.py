"""A lineage's register: every requested call once, in any order of versions, sources and restarts."""

from itertools import count, pairwise, permutations

import msgspec
import pytest
from hypothesis import given, strategies as st

from timmyd.core.counting.identity import (
    ANSWERED,
    DAMAGED,
    INNER,
    RANKS,
    hash_text,
    key_of,
    keys_of,
    never_repeats,
)
from timmyd.core.counting.register import Register
from timmyd.core.counting.walk import Placed, place
from timmyd.core.model import Call, Session, Source

NOW = 1_795_381_822.0


def call(call_id: str, command: str = "make", *, answered: bool = True) -> Call:
    return Call(call_id, "terminal", command, content="done" if answered else None)


def facts(found: Call) -> int:
    return hash_text(f"{found.tool} {found.arguments}")


def version(*calls: Call, source: Source = "snapshot") -> Session:
    return Session(source=source, session_id="s", calls=list(calls))


class Lineage:
    """A register that is saved and loaded around each use, as between two transactions."""

    def __init__(self) -> None:
        self.data = Register().dump()
        self.numbers = count(1)
        self.register = Register(self.data)

    def show(self, session: Session, *, file: int = 7, seen_at: float = NOW) -> Placed:
        self.register = Register(self.register.dump())
        return place(
            self.register,
            session,
            file=file,
            facts=facts,
            new_execution=lambda: next(self.numbers),
            seen_at=seen_at,
        )

    def count(self, *calls: Call, source: Source = "snapshot", seen_at: float = NOW) -> int:
        placed = self.show(version(*calls, source=source), seen_at=seen_at)
        return sum(placement.new for placement in placed.placements)


CALLS = [call(f"call_{n}", f"step {n}") for n in range(4)]


def test_growth_counts_only_what_is_new() -> None:
    lineage = Lineage()

    assert [lineage.count(*CALLS[:n]) for n in (1, 3, 3, 4)] == [1, 2, 0, 1]


@pytest.mark.parametrize("order", list(permutations(range(1, 5))))
def test_versions_of_one_growth_count_the_same_in_any_order(order: tuple[int, ...]) -> None:
    lineage = Lineage()

    assert sum(lineage.count(*CALLS[:n]) for n in order) == 4
    assert len(lineage.register.known) == 4


def test_the_same_call_done_again_counts_again() -> None:
    same = call("call_0", "make")

    assert Lineage().count(same, same, same) == 3


def test_a_result_that_comes_later_answers_its_call_once() -> None:
    lineage = Lineage()
    assert lineage.count(call("a", answered=False)) == 1

    (placement,) = lineage.show(version(call("a"))).placements

    assert (placement.new, placement.answers, placement.better) == (False, True, False)
    assert lineage.register.known[0].flags & ANSWERED
    assert lineage.show(version(call("a"))).placements == []


def test_a_better_source_takes_a_call_over_once_and_a_worse_one_never() -> None:
    lineage = Lineage()
    lineage.count(CALLS[0], source="session")

    (placement,) = lineage.show(version(CALLS[0], source="snapshot")).placements

    assert (placement.new, placement.better) == (False, True)
    assert lineage.show(version(CALLS[0], source="session")).placements == []
    assert lineage.register.known[0].best == RANKS["snapshot"]


def add(register: Register, key: int, *, source: Source = "telemetry", flags: int = ANSWERED) -> int:  # fmt: skip
    return register.add((key,) if key else (), 11, 1, rank=RANKS[source], seen_at=NOW, flags=flags)


def test_sources_meet_on_id_and_facts_each_call_once() -> None:
    register = Register()
    first, second = add(register, 5), add(register, 5)
    snapshot = RANKS["snapshot"]

    assert register.meet((5,), 11, rank=snapshot) == first
    register.known[first].shown_by |= 1 << snapshot
    assert register.meet((5,), 11, rank=snapshot) == second
    register.known[second].shown_by |= 1 << snapshot
    assert register.meet((5,), 11, rank=snapshot) is None


def test_an_id_alone_is_enough_only_where_nothing_else_has_it() -> None:
    register = Register()
    add(register, 5)
    assert register.meet((5,), 99, rank=2) == 0

    add(register, 5)
    assert register.meet((5,), 99, rank=2) is None
    assert register.meet((6,), 11, rank=2) is None


def test_where_ids_repeat_an_id_alone_is_enough_only_for_arguments_that_were_cut() -> None:
    register = Register()
    register.notice_repeats([call("call_0"), call("call_0", "step 1")])
    add(register, 5)
    assert register.meet((5,), 99, rank=2) is None
    assert register.meet((5,), 99, rank=2, damaged=True) == 0
    add(register, 6, flags=ANSWERED | DAMAGED)
    assert register.meet((6,), 99, rank=2) == 1


def test_without_an_id_facts_are_enough() -> None:
    register = Register()
    add(register, 0)

    assert register.meet((), 11, rank=2) == 0
    assert register.meet((), 99, rank=2) is None


def test_what_was_over_before_or_ended_after_is_another_call() -> None:
    register = Register()
    add(register, 5)

    assert register.meet((5,), 11, rank=2, ended_by=NOW - 1.0) is None
    assert register.meet((5,), 11, rank=2, ended_by=NOW - 0.1) == 0
    assert register.meet((5,), 11, rank=2, began_at=NOW + 1.0) is None
    assert register.meet((5,), 11, rank=2, began_at=NOW + 0.1) == 0


def test_calls_made_inside_another_meet_nothing() -> None:
    register = Register()
    add(register, 5, flags=ANSWERED | INNER)

    assert register.meet((5,), 11, rank=2) is None


def test_a_lineage_that_was_absorbed_is_known_by_ids_paths_links_and_lines() -> None:
    one, other = Lineage(), Lineage()
    one.count(*CALLS[:2])
    other.show(version(*CALLS[2:]), file=8)
    one.register.take_line("a", 1)
    other.register.take_line("a", 2)
    other.register.take_line("b", 1)
    other.register.rows["t"] = {"k": 1}

    one.register.absorb(other.register)

    register = Register(one.register.dump())
    assert [register.with_keys(keys_of(c.ids)) for c in CALLS] == [[0], [1], [2], [3]]
    assert (register.path(7), register.path(8)) == ([0, 1], [2, 3])
    assert register.runs == {"a": [[1, 2]], "b": [[1, 1]]}
    assert register.rows == {"t": {"k": 1}}
    one.register = register
    assert sum(p.new for p in one.show(version(*CALLS[2:]), file=8).placements) == 0


@given(st.lists(st.integers(0, 30), max_size=60))
def test_each_line_is_taken_once_and_spans_stay_ordered_and_apart(numbers: list[int]) -> None:
    register = Register()
    seen: set[int] = set()
    for number in numbers:
        assert register.take_line("run", number) is (number not in seen)
        seen.add(number)

    spans = register.runs.get("run", [])
    assert {n for first, last in spans for n in range(first, last + 1)} == seen
    assert all(before[1] + 1 < after[0] for before, after in pairwise(spans))


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x90"])
def test_bytes_that_are_no_register_are_refused(data: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        Register(data)


@pytest.mark.parametrize(
    ("call_id", "random"),
    [
        ("call_9f2cZx81kQpW", True), ("toolu_01A09q90qw90lq917835lq9", True), ("chatcmpl-tool-1a2b3c4d5e6f", True),
        ("call_0", False), ("functions.terminal:3", False), ("", False), ("call_0123456789ab", False),
    ],
)  # fmt: skip
def test_ids_of_counters_and_those_that_hermes_mints_may_repeat(call_id: str, random: bool) -> None:
    assert never_repeats(call_id) is random


def test_no_id_and_a_minted_one_are_the_same_key() -> None:
    assert key_of("") == key_of("call_0123456789ab") == 0
    assert key_of("call_0") not in {0, key_of("call_1")}
