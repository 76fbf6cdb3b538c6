"""Repeats of what has failed: counted per turn, forgotten when something moves, heard again in later turns."""

import hashlib
import uuid
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, strategies as st

from timmyd.house.folding import RepeatKey
from timmyd.house.retries import bounds, hopeless, upper_bound
from timmyd.house.spirals import Spirals, Stuck

PRIOR = {"nothing": "learned"}


def key(tool: str = "terminal", **args: object) -> RepeatKey:
    return RepeatKey(tool, args)


class Agent:
    """Calls again and again, as the kit asks and tells; counts what ran."""

    def __init__(self, limit: int = 3, retries: dict[str, object] | None = None) -> None:
        self.spirals, self.limit, self.retries = Spirals(), limit, retries or {}
        self.ran = 0

    def call(
        self,
        call: RepeatKey,
        turn: str,
        answer: str,
        *,
        outcome: str = "error",
        task: str = "other",
    ) -> bool:
        repeats = self.spirals.repeats("s", turn, call)
        failures = hopeless(
            repeats, self.limit, lambda k: upper_bound(self.retries, call.tool, "-", k)
        )
        if failures:
            self.spirals.refuse("s", turn, call, Stuck(call.tool, "-", failures))
            return False
        self.ran += 1
        self.spirals.ran("s", turn, call, outcome=outcome, answer=answer, task=task)
        return True

    def turn(self, calls: Iterable[RepeatKey], turn: str, answer: str = "no") -> int:
        """Calls until the turn is ended; how many ran."""
        before = self.ran
        for call in calls:
            if self.spirals.stuck("s", turn):
                break
            self.call(call, turn, answer)
        return self.ran - before


def test_one_failing_call_for_ever_runs_three_times_and_the_turn_is_ended() -> None:
    agent = Agent()
    assert agent.turn([key(command="git push")] * 100, "t1") == 3
    stuck = agent.spirals.stuck("s", "t1")
    assert stuck is not None
    assert stuck.failures == 3


def test_two_calls_in_turn_are_one_spiral() -> None:
    agent = Agent()
    calls = [key(command="a"), key(command="b")] * 50
    assert agent.turn(calls, "t1") == 5
    assert agent.spirals.stuck("s", "t1") is not None


def test_a_cycle_of_four_ends_before_each_of_them_failed_three_times() -> None:
    agent = Agent()
    assert agent.turn([key(command=name) for name in "abcd"] * 50, "t1") == 7


@pytest.mark.parametrize(
    "varied",
    [
        [key(command=f"cat page-{n}.txt") for n in range(60)],
        [key(command="cat" + " " * (n + 1) + "x") for n in range(60)],
        [key(page=n, name="x") for n in range(60)],
    ],
)
def test_arguments_that_vary_only_in_white_space_or_a_counter_run_eight_times(
    varied: list[RepeatKey],
) -> None:
    agent = Agent()
    assert agent.turn(varied, "t1", answer="no such page 17") == 8
    assert agent.spirals.stuck("s", "t1") is not None


def test_the_order_of_arguments_makes_no_other_call() -> None:
    first, second = key(a="1", b="x"), key(b="x", a="1")
    assert first.exact == second.exact
    assert first.folded == second.folded


def test_twelve_turns_that_each_try_the_same_dead_call_run_it_six_times() -> None:
    agent = Agent()
    for turn in range(12):
        agent.turn([key(command="make deploy")] * 4, f"t{turn}")
    assert agent.ran == 6


def test_who_says_mended_try_again_is_heard_in_the_next_turn() -> None:
    agent, call = Agent(), key(command="make deploy")
    agent.turn([call] * 9, "t1")
    assert agent.call(call, "t2", "fine", outcome="ok")
    assert agent.turn([call] * 3, "t3") == 3, "after a success it is a call like any other"


def test_a_poll_whose_result_changes_is_no_spiral() -> None:
    agent, call = Agent(), key(command="curl status")
    for step in ("queued", "building", "testing", "signing", "copying", "starting") * 2:
        assert agent.call(call, "t1", f"not ready: {step}")


def test_a_flaky_call_runs_on_where_its_curve_is_known() -> None:
    retries: dict[str, object] = {
        "terminal": {"after": [0.5, 0.5, 0.5], "samples": [40, 20, 10], "limit": 3}
    }
    agent = Agent(retries=retries)
    assert agent.turn([key(command="fetch")] * 30, "t1") == 30


def test_a_poll_that_succeeds_at_its_twelfth_try_runs_to_the_end_where_its_curve_is_known() -> None:
    retries: dict[str, object] = {
        "terminal": {"after": [0.0] * 10 + [1.0], "samples": [20] * 11, "limit": 3}
    }
    agent, call = Agent(retries=retries), key(command="curl status")
    assert all(agent.call(call, "t1", "not yet") for _ in range(11))
    assert agent.call(call, "t1", "done", outcome="ok")


def test_a_successful_build_call_means_that_all_may_work_now() -> None:
    agent, test, edit = Agent(), key(command="pytest"), key("patch", path="a.py")
    for round_ in range(20):
        assert agent.call(test, "t1", "1 failed")
        assert agent.call(edit, "t1", f"patched {round_}", outcome="ok", task="build")
    assert agent.ran == 40


def test_reading_the_same_again_between_the_failures_changes_nothing() -> None:
    agent, call, read = Agent(), key(command="deploy"), key("read_file", path="a")
    calls = 0
    while agent.spirals.stuck("s", "t1") is None and calls < 40:
        agent.call(call, "t1", "no")
        agent.call(read, "t1", "same text", outcome="ok", task="read")
        calls += 1
    assert calls == 5


def test_something_new_after_a_refusal_lets_the_turn_go_on() -> None:
    agent, call = Agent(), key(command="deploy")
    for _ in range(4):
        agent.call(call, "t1", "no")
    agent.call(key(command="look elsewhere"), "t1", "found", outcome="ok")
    agent.call(call, "t1", "no")
    assert agent.spirals.stuck("s", "t1") is None


@given(st.lists(st.sampled_from("abc"), max_size=60), st.integers(3, 8))
def test_no_mix_of_dead_calls_runs_more_than_the_limit_of_each(
    names: list[str], limit: int
) -> None:
    agent = Agent(limit=limit)
    ran = agent.turn([key(command=name) for name in names], "t1")
    assert ran <= limit * len(set(names))


@given(st.floats(0, 200), st.floats(0, 1), st.integers(1, 20))
def test_the_bound_falls_with_failures_and_holds_the_rate(
    samples: float, rate: float, k: int
) -> None:
    low, high = bounds(samples * rate, samples, k)
    assert 0.0 <= low <= high <= 1.0
    assert high <= bounds(samples, samples, k)[1]


def test_without_anything_learned_three_failures_are_enough_and_two_are_not() -> None:
    assert upper_bound({}, "terminal", "git push", 2) > 0.1 > upper_bound({}, "terminal", "-", 3)


@pytest.mark.parametrize(
    "answer",
    [
        lambda n: f"503 at 2027-03-14T15:{n:02d}:07.{n}Z",
        lambda n: (
            f"request {uuid.UUID(int=n * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128)} failed"
        ),
        lambda n: f"no such object req_{hashlib.sha256(bytes([n])).hexdigest()[:24]}",
        lambda n: f"<Refused object at 0x{hashlib.md5(bytes([n])).hexdigest()[:12]}>",
    ],
)
def test_an_error_that_names_a_moment_or_an_id_is_the_same_error(
    answer: Callable[[int], str],
) -> None:
    agent = Agent()
    for n in range(40):
        if not agent.spirals.stuck("s", "t"):
            agent.call(key(command="curl"), "t", answer(n))
    assert agent.ran == 8


class _Silent:
    def __repr__(self) -> str:
        raise ValueError


def _nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = {"a": [value]}
    return value


@pytest.mark.parametrize(
    "odd",
    [None, b"\xff", "\udc80", _Silent(), [_Silent()], _nested(100), _nested(20_000), {1: {2}}],
)
def test_a_call_of_whatever_arguments_and_answers_is_counted(odd: object) -> None:
    call = RepeatKey("t", {"x": odd})
    spirals = Spirals()
    for count in range(3):
        assert spirals.repeats("s", "t", call).identical == count
        spirals.ran("s", "t", call, outcome="error", answer=odd, task="other")


def test_long_texts_are_alike_but_for_digits_at_their_ends() -> None:
    body = "line of a file\n" * 20_000
    first, second, third = (
        key(content=text) for text in (f"1 {body} 1", f"2 {body} 2", f"1 {body}x{body} 1")
    )
    assert first.exact != second.exact
    assert first.folded == second.folded != third.folded
