"""The closed loop on real agents: a tool fails, is stopped, is tried again, works, is let through."""

import json
import threading
from pathlib import Path

from tests.hermes.support.agent import HermesAgent
from tests.hermes.support.daemon import Daemon, wait_for
from tests.hermes.support.kit import install_kit, tool_lines
from tests.hermes.support.script import ModelRequest, Step, call, say, terminal

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
PROBE_PAUSE_S = 2.0
PROBES = 5
WORK = "ls needed.txt"
WORDS = (
    "amber",
    "birch",
    "coral",
    "delta",
    "ember",
    "flint",
    "grove",
    "hazel",
    "ivory",
    "jade",
    "kelp",
    "lime",
)


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
        wait_for(lambda: _reported(daemon, "ok") >= GOOD_CALLS)
        assert _reported(daemon, "total") == GOOD_CALLS
        assert daemon.breaker("terminal") is None

        # It fails. Each agent stops by itself; with the second failing session the daemon knows.
        needed.unlink()
        told: list[str] = []
        for _ in range(2):
            hermes.run_turn(server.turn(*(_work(told, word) for word in WORDS), say()))
        lines = tool_lines(home.path)[GOOD_CALLS:]
        outcomes = [line["outcome"] for line in lines]
        assert outcomes.index("blocked") <= MOST_FAILURES
        for session in {line["session"] for line in lines}:
            failing = [line["outcome"] for line in lines if line["session"] == session]
            assert failing.count("error") <= MOST_FAILURES
            assert "blocked" in failing
        assert {line["rule"] for line in lines if line["outcome"] == "blocked"} == {"breaker_open"}
        sentence = next(text for text in told if "unavailable" in text)
        assert sentence.startswith("The tool terminal is unavailable since ")
        assert "because it keeps failing; it is tried again in about " in sentence
        wait_for(lambda: (daemon.breaker("terminal") or {}).get("state") in {"open", "half_open"})
        needed.write_text("here again\n")

        # It works again: single probes pass, the breaker closes, all pass.
        count = len(tool_lines(home.path))
        hermes.run_turn(server.turn(*[_patient()] * PROBES, *terminal(*[WORK] * 3)), timeout=180.0)
        after = tool_lines(home.path)[count:]
        assert len(after) == PROBES + 3
        assert [line["outcome"] for line in after[-3:]] == ["ok"] * 3
        wait_for(lambda: daemon.breaker("terminal") is None)

        # The whole story can be seen.
        wait_for(lambda: _reported(daemon, "total") == len(tool_lines(home.path)))
        assert _reported(daemon, "error") == outcomes.count("error")
        assert _reported(daemon, "blocked") == sum(
            line["outcome"] == "blocked" for line in tool_lines(home.path)
        )
        changes = json.loads(daemon.ask("report", "--json"))["recent_adaptations"]
        story = [(c["old_value"], c["new_value"]) for c in reversed(changes)]
        assert story == [("closed", "open"), ("open", "half_open"), ("half_open", "closed")]
        explained = daemon.ask("explain", "breaker.timmy.terminal")
        assert "terminal" in explained


def _reported(daemon: Daemon, outcome: str) -> int:
    tools = json.loads(daemon.ask("report", "--json"))["tools"]
    return sum(int(row[outcome]) for row in tools if row["tool"] == "terminal")


def _work(told: list[str], word: str) -> Step:
    """Another call that fails, keeping what the model was told of the one before; no repeat of it."""

    def step(request: ModelRequest) -> Step:
        told.extend(_sentence(text) for text in request.tool_results[-1:])
        return call("terminal", command=f"{WORK} # {word}")

    return step


def _sentence(text: str) -> str:
    try:
        found, _ = json.JSONDecoder().raw_decode(text)
    except ValueError:
        return text
    return str(found.get("error") or "") if isinstance(found, dict) else ""


def _patient() -> Step:
    """A try after a pause, in which a probe falls due and a house looks at the policy again."""

    def step(_request: ModelRequest) -> Step:
        threading.Event().wait(PROBE_PAUSE_S)
        return call("terminal", command=WORK)

    return step
