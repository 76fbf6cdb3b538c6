"""Older lines by their own dispatchers and plugin managers: hooks where they are safe, middleware from 0.17 on."""

import json
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hermes.support.agent import HermesAgent
from tests.hermes.support.environment import HERMES_013, HERMES_015, HERMES_017
from tests.hermes.support.kit import headers, install_kit, tool_lines
from tests.hermes.support.model_server import ModelServer
from timmyd.house.seam import Caps
from timmyd.service.kit_status import status

SESSIONS = [f"session-{number}" for number in range(4)]
READS, INNER = 8, 40
_DISPATCH = Path(__file__).parent / "support" / "dispatch.py"


@pytest.mark.parametrize(
    ("version", "seam", "caps"),
    [
        (HERMES_013, "hooks", Caps.NO_WAY),
        (HERMES_015, "hooks", Caps.NO_WAY),
        (HERMES_017, "middleware", None),  # nobody knows before the first request
    ],
)
def test_every_call_of_every_session_is_recorded_once_and_none_refused(
    version: str,
    seam: str,
    caps: Caps | None,
    tmp_path: Path,
    model_server: ModelServer,
    hermes_installed: Callable[[str], Path],
) -> None:
    hermes_installed(version)
    agent = HermesAgent(version, tmp_path / "agent", model_server)
    agent.home.configure({"code_execution": {"max_tool_calls": 10_000, "timeout": 150}})
    install_kit(agent.home)
    folder = agent.home.path / "sessions" / "timmy"
    folder.mkdir(parents=True)
    (folder / "budget_own.json").write_text(json.dumps({"caps": {"tokens_per_day": 5_000}}))
    for name in ("review", *(f"f{number}" for number in range(INNER))):
        (agent.home.work / f"{name}.txt").write_text(f"this is {name}\n")
    wanted, answers = tmp_path / "wanted.json", tmp_path / "answers.json"
    spec = {"sessions": SESSIONS, "reads": READS, "inner": INNER, "work": str(agent.home.work)}
    wanted.write_text(json.dumps(spec))

    done = subprocess.run(
        [str(agent.python), "-P", str(_DISPATCH), str(wanted), str(answers)],
        cwd=agent.home.work, env=agent.environment(), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip

    assert answers.exists(), done.stdout + done.stderr
    told = json.loads(answers.read_text())
    assert told["answered"] == {name: [READS, True, True] for name in SESSIONS}
    lines = tool_lines(agent.home.path)
    expected: Counter[tuple[str, str, bool]] = Counter()
    for name in SESSIONS:
        expected[name, "read_file", False] = READS
        expected[name, "execute_code", False] = 1
        expected[name, "read_file", True] = INNER + 1  # and that of the review
    assert Counter((line["session"], line["tool"], line["inner"]) for line in lines) == expected
    assert {line["outcome"] for line in lines} == {"ok"}
    assert {line["latency_ms"] is None for line in lines} == {False}
    assert {head["seam"] for head in headers(agent.home.path)} == {seam}
    assert status(agent.home.path).caps is caps
    assert ("not held here" in told["slash"]) is (caps is Caps.NO_WAY)
    assert "not recorded" not in told["slash"]
