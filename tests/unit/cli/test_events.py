"""What happened, and what is refused: by the real commands over a real database."""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Command


@pytest.fixture
def forced(timmyd: Command, state: Path) -> Path:
    assert timmyd("breaker", "force", "ezra", "read_file", "--state", state).status == 0
    return state


def test_events_tell_what_happened_oldest_first(timmyd: Command, forced: Path) -> None:
    assert timmyd("breaker", "clear", "ezra", "read_file", "--state", forced).status == 0
    shown = timmyd("events", "--state", forced)
    found = json.loads(timmyd("events", "--json", "--state", forced).out)
    last = json.loads(timmyd("events", "--json", "--limit", "1", "--state", forced).out)

    kinds = [event["kind"] for event in found]
    assert [event["id"] for event in found] == sorted(event["id"] for event in found)
    assert kinds.count("order") == 2
    assert last == found[-1:]
    assert "force ezra read_file by the operator" in shown.out
    assert len(shown.out.splitlines()) == len(found)


def test_events_of_a_database_that_is_not_there_say_so(timmyd: Command, tmp_path: Path) -> None:
    done = timmyd("events", "--follow", "--state", tmp_path / "none")

    assert done.status == 1
    assert "does not exist yet" in done.err


@pytest.fixture
def follower(forced: Path) -> Iterator["subprocess.Popen[str]"]:
    words = ["-m", "timmyd", "events", "-f", "--json", "--state", str(forced)]
    with subprocess.Popen(
        [sys.executable, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        yield running
        running.kill()


def line_of(running: "subprocess.Popen[str]") -> str:
    assert running.stdout is not None
    assert select.select([running.stdout], [], [], 30)[0], "no line in 30 s"
    return running.stdout.readline()


def test_followed_events_come_as_they_happen_until_ctrl_c(
    timmyd: Command, forced: Path, follower: "subprocess.Popen[str]"
) -> None:
    while json.loads(line_of(follower))["change_type"] != "order.breaker_force":
        pass
    timmyd("breaker", "clear", "ezra", "read_file", "--state", forced)
    while json.loads(line_of(follower))["change_type"] != "order.breaker_clear":
        pass
    follower.send_signal(signal.SIGINT)

    assert follower.wait(30) == 130
    assert follower.stderr is not None
    assert follower.stderr.read() == ""


def test_what_is_refused_says_since_when_until_when_and_why(timmyd: Command, forced: Path) -> None:
    shown = timmyd("breaker", "list", "--state", forced)
    found = json.loads(timmyd("breaker", "list", "--json", "--state", forced).out)

    assert [(item["house"], item["tool"], item["state"]) for item in found] == [
        ("ezra", "read_file", "open")
    ]
    assert "ezra/read_file is refused: forced open by the operator" in shown.out
    assert "until `timmyd breaker clear ezra read_file`" in shown.out

    timmyd("breaker", "clear", "ezra", "read_file", "--state", forced)
    assert timmyd("breaker", "list", "--state", forced).out == "nothing is refused\n"


@pytest.mark.parametrize(
    ("house", "tool", "said"),
    [
        ("nohouse", "read_file", "no house is called nohouse; there are ezra"),
        ("ezra", "notool", "no house has ever called notool; ezra has called"),
        ("ezra", "model:none", "no house has ever called model:none"),
    ],
)
@pytest.mark.parametrize("order", ["force", "clear"])
def test_an_order_on_what_nobody_knows_is_refused(
    timmyd: Command, state: Path, order: str, house: str, tool: str, said: str
) -> None:
    done = timmyd("breaker", order, house, tool, "--state", state)

    assert done.status == 2
    assert said in done.err
    assert json.loads(timmyd("breaker", "list", "--json", "--state", state).out) == []


def test_a_model_that_was_called_can_be_forced(timmyd: Command, state: Path) -> None:
    done = timmyd("breaker", "force", "ezra", "model:hermes3:8b", "--state", state)

    assert done.status == 0, done.err
    found = json.loads(timmyd("breaker", "list", "--json", "--state", state).out)
    assert [item["model"] for item in found] == ["hermes3:8b"]


def test_a_reader_that_leaves_is_no_traceback(forced: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "timmyd", "events", "--state", str(forced)],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write)

    assert done.stderr == ""
    assert done.returncode == 1
