"""Real agents whose provider is down: one session finds it, the others know, and an answer brings it back."""

import json
import threading
import time
from pathlib import Path

import pytest

from tests.hermes.support.agent import HermesAgent
from tests.hermes.support.kit import install_kit, telemetry
from tests.hermes.support.policy import publish
from tests.hermes.support.process import RunningTurn
from tests.hermes.support.script import Fail, Say, Step, say
from tests.hermes.test_live_snapshots import eventually
from timmyd.house.providers import PROVIDERS_FILE

SESSIONS = 20
TRIES = 3
"""Requests of a session before Hermes gives up; a probe is as many."""
TOLD = "has not answered since"


def is_down(user_home: Path) -> bool:
    """Whether the file of the user says that a provider is down."""
    path = user_home / ".local" / "state" / "timmyd" / PROVIDERS_FILE
    return path.exists() and any(row[6] for row in json.loads(path.read_bytes()))


def test_twenty_sessions_find_a_dead_provider_once_and_it_comes_back_by_itself(
    hermes: HermesAgent,
) -> None:
    down = threading.Event()
    down.set()

    def step(_: object) -> Step:
        return Fail(503) if down.is_set() else Say("here I am again")

    def start() -> RunningTurn:
        return hermes.start_turn(hermes.server.turn(*[step] * 200))

    install_kit(hermes.home)
    publish(hermes.home)
    turns = [start()]
    eventually(lambda: is_down(hermes.home.user_home), 60.0)
    found = len(hermes.server.requests)
    assert found <= TRIES + 1
    turns += [start() for _ in range(SESSIONS - 1)]
    eventually(lambda: sum(not turn.running for turn in turns) >= SESSIONS - 5, 240.0)
    tried = len(hermes.server.requests) - found
    ends = [turn.finish() for turn in turns if not turn.running]
    turns = [turn for turn in turns if turn.running]
    told = sum(TOLD in end.stdout for end in ends)
    print(f"found by {found} requests; {told} of {SESSIONS} sessions told, {tried} requests since")
    assert told >= SESSIONS - 6
    assert tried <= TRIES * (SESSIONS - told)
    rules = {
        line["rule"] for line in telemetry(hermes.home.path) if line.get("outcome") == "blocked"
    }
    assert rules == {"provider_down"}

    down.clear()
    began = time.monotonic()
    back = None
    while back is None or TOLD in back.stdout:
        back = start().finish()
        assert time.monotonic() - began < 5 * 60.0
    print(f"back after {time.monotonic() - began:.0f} s")
    assert "here I am again" in back.stdout
    for turn in turns:
        turn.finish()
    assert not is_down(hermes.home.user_home)


@pytest.mark.parametrize("mode", ["observe", "simple", "nothing"])
def test_without_a_policy_that_enforces_every_session_tries_for_itself(
    hermes_019: HermesAgent, mode: str
) -> None:
    install_kit(hermes_019.home, mode="simple" if mode == "simple" else None)
    if mode != "nothing":
        publish(hermes_019.home, mode="observe" if mode == "observe" else "enforce")
    for _ in range(2):
        before = len(hermes_019.server.requests)
        end = hermes_019.run_turn(hermes_019.server.turn(*[Fail(503)] * 9))
        assert len(hermes_019.server.requests) > before
        assert TOLD not in end.stdout


def test_an_agent_that_can_fall_back_is_left_to_do_so(hermes_022: HermesAgent) -> None:
    install_kit(hermes_022.home)
    publish(hermes_022.home)
    other = {"provider": "custom", "model": "other", "base_url": hermes_022.server.base_url}
    hermes_022.home.configure({"fallback_providers": [other]})
    for _ in range(2):
        turn = hermes_022.server.turn(*[Fail(503)] * TRIES, say("from the other one"))
        assert "from the other one" in hermes_022.run_turn(turn).stdout
