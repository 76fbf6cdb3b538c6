"""Caps of real agents: the turn ends cleanly at the cap, for all processes of a house together."""

from collections.abc import Sequence

from tests.hermes.support.agent import HermesAgent
from tests.hermes.support.kit import headers, install_kit, telemetry
from tests.hermes.support.policy import publish
from tests.hermes.support.script import Step, call, say

A_CALL = 1_020
CAP = 20_000
WORK: Sequence[Step] = [call("terminal", command="echo more")] * 40


def test_a_cap_ends_the_turn_with_an_answer_and_holds_without_the_daemon(
    hermes: HermesAgent,
) -> None:
    install_kit(hermes.home, mode="simple")
    publish(hermes.home, mode="observe", budgets={"timmy": {"caps": {"tokens_per_day": 5_000}}})
    done = hermes.run_turn(hermes.server.turn(*WORK))
    assert "has reached its cap" in done.stdout
    assert "5,000 tokens a day" in done.stdout
    assert len(hermes.server.requests) == 5
    (hermes.home.user_home / ".local" / "state" / "timmyd" / "policy.json").unlink()
    again = hermes.run_turn(hermes.server.turn(*WORK))
    assert "has reached its cap" in again.stdout
    assert len(hermes.server.requests) == 5
    rules = [
        line["rule"] for line in telemetry(hermes.home.path) if line.get("outcome") == "blocked"
    ]
    assert rules == ["budget", "budget"]
    assert {head["caps"] for head in headers(hermes.home.path)} == {"held"}


def test_eight_sessions_at_once_share_one_cap(hermes: HermesAgent) -> None:
    install_kit(hermes.home)
    publish(hermes.home, budgets={"timmy": {"caps": {"tokens_per_day": CAP}}})
    turns = [hermes.start_turn(hermes.server.turn(*WORK)) for _ in range(8)]
    ends = [turn.finish(240.0) for turn in turns]
    assert all(end.completed for end in ends)
    spent = len(hermes.server.requests) * A_CALL
    assert CAP <= spent <= CAP + 8 * A_CALL


def test_a_cap_for_a_turn_leaves_the_next_one_alone(hermes_022: HermesAgent) -> None:
    install_kit(hermes_022.home)
    publish(hermes_022.home, budgets={"timmy": {"caps": {"tokens_per_turn": 3_000}}})
    first = hermes_022.run_turn(hermes_022.server.turn(*WORK))
    assert "tokens a turn" in first.stdout
    second = hermes_022.run_turn(
        hermes_022.server.turn(call("terminal", command="ls"), say("fine"))
    )
    assert "fine" in second.stdout
