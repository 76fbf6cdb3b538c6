"""Spirals of real agents end: after three failures a repeat is refused, after two refusals the turn."""

from collections.abc import Callable, Sequence

import pytest

from tests.hermes.support.agent import HermesAgent
from tests.hermes.support.kit import install_kit, telemetry, tool_lines
from tests.hermes.support.policy import publish
from tests.hermes.support.script import Calls, Step, ToolCall, call, say

MANY = 60
DEAD = "cat missing.txt"


def ran(hermes: HermesAgent) -> list[str]:
    """The outcomes of the calls that ran."""
    return [
        line["outcome"] for line in tool_lines(hermes.home.path) if line["outcome"] != "blocked"
    ]


def test_one_failing_call_for_ever_runs_three_times_and_the_answer_says_why(
    hermes: HermesAgent,
) -> None:
    install_kit(hermes.home)
    publish(hermes.home)
    done = hermes.run_turn(hermes.server.turn(*[call("terminal", command=DEAD)] * MANY))
    assert ran(hermes) == ["error"] * 3
    assert len(hermes.server.requests) <= 7
    assert done.completed
    assert "failed 3 times in this turn" in done.stdout
    blocked = [line for line in telemetry(hermes.home.path) if line.get("outcome") == "blocked"]
    assert [(line["kind"], line["rule"]) for line in blocked] == [
        ("tool", "retry_limit"),
        ("tool", "retry_limit"),
        ("model", "retry_limit"),
    ]
    (end,) = [line for line in telemetry(hermes.home.path) if line["kind"] == "end"]
    assert (end["completed"], end["reason"]) == (False, "retry_limit")
    assert DEAD not in "".join(
        path.read_text() for path in (hermes.home.sessions_dir / "timmy").glob("*.json*")
    )


VARIED: dict[str, Callable[[int], Step]] = {
    "two in turn": lambda n: call("terminal", command=f"cat missing-{'ab'[n % 2]}.txt"),
    "white space": lambda n: call("terminal", command=f"cat{' ' * (n + 1)}missing.txt"),
    "a counter": lambda n: call("terminal", command=f"cat missing-{n}.txt"),
    "order": lambda n: Calls(
        (
            ToolCall(
                "terminal",
                '{"command":"cat missing.txt","timeout":9}'
                if n % 2
                else '{"timeout":9,"command":"cat missing.txt"}',
            ),
        )
    ),
}


@pytest.mark.parametrize("name", VARIED)
def test_what_varies_only_in_space_order_or_a_counter_ends_too(
    name: str, hermes_022: HermesAgent
) -> None:
    install_kit(hermes_022.home)
    publish(hermes_022.home)
    hermes_022.run_turn(hermes_022.server.turn(*map(VARIED[name], range(MANY))))
    assert 3 <= len(ran(hermes_022)) <= 8


def test_twelve_turns_that_each_try_the_same_dead_call_run_it_six_times(
    hermes: HermesAgent,
) -> None:
    install_kit(hermes.home)
    publish(hermes.home)
    with hermes.conversation() as talk:
        for _ in range(12):
            talk.send(hermes.server.turn(*[call("terminal", command=DEAD)] * 4, say()))
    assert len(ran(hermes)) == 6


def test_who_says_mended_try_again_is_heard(hermes_022: HermesAgent) -> None:
    install_kit(hermes_022.home)
    publish(hermes_022.home)
    with hermes_022.conversation() as talk:
        talk.send(hermes_022.server.turn(*[call("terminal", command=DEAD)] * 9))
        (hermes_022.home.work / "missing.txt").write_text("here\n")
        talk.send(
            hermes_022.server.turn(*[call("terminal", command=DEAD)] * 2, say(), text="mended")
        )
    assert ran(hermes_022) == ["error"] * 3 + ["ok"] * 2


def test_a_test_run_that_is_mended_again_and_again_runs_every_time(hermes: HermesAgent) -> None:
    install_kit(hermes.home)
    publish(hermes.home)
    steps: list[Step] = []
    for number in range(20):
        steps.append(call("terminal", command="sh check.sh"))
        steps.append(call("write_file", path="part.txt", content=f"{number}\n"))
    (hermes.home.work / "check.sh").write_text("echo 1 failed; exit 1\n")
    hermes.run_turn(hermes.server.turn(*steps, say()), timeout=240.0)
    assert ran(hermes).count("error") == 20


POLL = {"after": [0.0] * 10 + [1.0], "low": [0.0] * 11, "high": [0.1] * 10 + [1.0], "samples": [30] * 11, "limit": 3}  # fmt: skip
FLAKY = {"after": [0.5] * 4, "low": [0.4] * 4, "high": [0.6] * 4, "samples": [40] * 4, "limit": 3}


@pytest.mark.parametrize("curve", [POLL, FLAKY], ids=["a poll", "a flaky call"])
def test_what_waits_on_purpose_runs_to_its_end(
    curve: dict[str, object], hermes_022: HermesAgent
) -> None:
    install_kit(hermes_022.home)
    publish(hermes_022.home, retries={"timmy": {"terminal": curve}})
    poll = "test $(wc -l < tries || echo 0) -ge 12 || { echo x >> tries; echo not yet; false; }"
    hermes_022.run_turn(hermes_022.server.turn(*[call("terminal", command=poll)] * 13, say()))
    assert ran(hermes_022) == ["error"] * 12 + ["ok"]


def in_mode(hermes: HermesAgent, steps: Sequence[Step], *, mode: str, kit: str | None) -> int:
    install_kit(hermes.home, mode=kit)
    publish(hermes.home, mode=mode)
    hermes.run_turn(hermes.server.turn(*steps, say()))
    return len(ran(hermes))


@pytest.mark.parametrize(("mode", "kit"), [("observe", None), ("enforce", "simple")])
def test_without_an_enforcing_policy_that_is_obeyed_nothing_is_refused(
    mode: str, kit: str | None, hermes_022: HermesAgent
) -> None:
    steps = [call("terminal", command=DEAD)] * 12
    assert in_mode(hermes_022, steps, mode=mode, kit=kit) == 12
