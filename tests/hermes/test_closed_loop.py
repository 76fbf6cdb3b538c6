"""The closed loop on real agents: a tool fails, is stopped, is tried again, works, is let through."""

import json
import time
from pathlib import Path

from tests.hermes.support.agent import HermesAgent
from tests.hermes.support.daemon import Daemon, wait_for
from tests.hermes.support.kit import install_kit, tool_lines
from tests.hermes.support.script import ModelRequest, Step, call, say, terminal
from timmyd.house.policy import at_from_iso

GOOD_CALLS = 80
MOST_FAILURES = 10
SETTINGS = """
[schedule]
tick = "2s"
settle = "100ms"
[breaker]
wait = "4s"
wait_max = "8s"
probe_every = "1s"
"""
WORK = "ls needed.txt"


def test_a_tool_that_starts_failing_is_stopped_probed_and_let_through_again(
    hermes: HermesAgent, tmp_path: Path
) -> None:
    home, server = hermes.home, hermes.server
    needed = home.work / "needed.txt"
    needed.write_text("here\n")
    install_kit(home)
    policy = home.user_home / ".local" / "state" / "timmyd" / "policy.json"
    policy.parent.mkdir(parents=True)
    with Daemon(tmp_path / "daemon", home.path, policy, SETTINGS) as daemon:
        # It works, for long enough to be known.
        for _ in range(2):
            hermes.run_turn(server.turn(*terminal(*[WORK] * (GOOD_CALLS // 2))))
        wait_for(lambda: _samples(daemon) >= GOOD_CALLS - 1)
        assert daemon.breaker("terminal") is None

        # It fails. At the latest in the second failing session it is stopped.
        needed.unlink()
        told: list[str] = []
        for _ in range(2):
            hermes.run_turn(server.turn(*[_work(told)] * (MOST_FAILURES + 2), say()))
            if any("unavailable" in text for text in told):
                break
        lines = tool_lines(home.path)[GOOD_CALLS:]
        outcomes = [line["outcome"] for line in lines]
        assert outcomes.count("error") <= MOST_FAILURES
        assert "blocked" in outcomes
        assert {line["rule"] for line in lines if line["outcome"] == "blocked"} == {"breaker_open"}
        sentence = next(text for text in told if "unavailable" in text)
        assert sentence.startswith("The tool terminal is unavailable since ")
        assert "because it keeps failing; it is tried again in about " in sentence

        # Every other agent is told as well, before it calls.
        wait_for(lambda: (daemon.breaker("terminal") or {}).get("state") in {"open", "half_open"})
        needed.write_text("here again\n")

        # It works again: single probes pass, the breaker closes, all pass.
        count = len(tool_lines(home.path))
        hermes.run_turn(server.turn(*[_patient(daemon)] * 4, *terminal(*[WORK] * 3)), timeout=180.0)
        after = tool_lines(home.path)[count:]
        assert [line["outcome"] for line in after[-3:]] == ["ok"] * 3
        wait_for(lambda: daemon.breaker("terminal") is None)

        # The whole story can be seen.
        wait_for(lambda: _reported(daemon, "total") == len(tool_lines(home.path)))
        assert _reported(daemon, "error") == outcomes.count("error")
        assert _reported(daemon, "blocked") == sum(
            line["outcome"] == "blocked" for line in tool_lines(home.path)
        )
        story = daemon.ask("explain", "breaker.timmy.terminal")
        assert "terminal" in story


def _samples(daemon: Daemon) -> float:
    found = daemon.document()["predictions"].get("timmy", {}).get("terminal", {})
    return float(found.get("samples", 0))


def _reported(daemon: Daemon, outcome: str) -> int:
    tools = json.loads(daemon.ask("report", "--json"))["tools"]
    return sum(int(row[outcome]) for row in tools if row["tool"] == "terminal")


def _work(told: list[str]) -> Step:
    """One more try, keeping what the model was told of the one before."""

    def step(request: ModelRequest) -> Step:
        told.extend(_sentence(text) for text in request.tool_results[-1:])
        return call("terminal", command=WORK)

    return step


def _sentence(text: str) -> str:
    try:
        found, _ = json.JSONDecoder().raw_decode(text)
    except ValueError:
        return text
    return str(found.get("error") or "") if isinstance(found, dict) else ""


def _patient(daemon: Daemon) -> Step:
    """A try that waits for the time the published breaker names."""

    def step(_request: ModelRequest) -> Step:
        deadline = time.monotonic() + 20.0

        def is_due() -> bool:
            found = daemon.breaker("terminal")
            due = found is None or found["probe_at"] is None
            return due or at_from_iso((found or {})["probe_at"]) < time.time() - 1.5

        wait_for(lambda: is_due() or time.monotonic() > deadline)
        return call("terminal", command=WORK)

    return step
