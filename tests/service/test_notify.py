"""The real command: an event of the database is told within seconds, and SIGTERM ends it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from timmyd.core.model import AdaptationEvent
from timmyd.store.database import PatternDatabase

LIMIT_S = 30.0


def test_an_event_is_told_by_the_running_command(tmp_path: Path) -> None:
    told, state = tmp_path / "told", tmp_path / "state"
    os.mkfifo(told)
    script = tmp_path / "tell"
    script.write_text(f"#!/bin/sh\ncat > {told}\n")
    script.chmod(0o755)
    settings = tmp_path / "timmyd.toml"
    settings.write_text(f'[[notify]]\non = ["fell"]\nhouse = "ezra"\nexec = ["{script}"]\n')
    database = PatternDatabase(state / "db" / "timmy.db")
    command = [sys.executable, "-m", "timmyd", "notify", "run"]
    options = ["--config", str(settings), "--state", str(state)]
    with subprocess.Popen([*command, *options], stderr=subprocess.PIPE) as process:
        try:
            _wait_for(state / "notify.json", process)
            for house in ("bezalel", "ezra"):
                database.record_adaptation(
                    AdaptationEvent(
                        timestamp="",
                        trigger="detector",
                        change_type=f"fell.{house}.terminal",
                        old_value=0.9,
                        new_value=0.2,
                        reason="4 of 20 since yesterday",
                        kind="fell",
                    )
                )
            payload = json.loads(told.read_bytes())
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0
    assert [event["house"] for event in payload["events"]] == ["ezra"]
    assert payload["text"] == "fell.ezra.terminal: 4 of 20 since yesterday"


def test_notify_test_says_who_was_reached_and_fails_if_one_was_not(tmp_path: Path) -> None:
    settings = tmp_path / "timmyd.toml"
    settings.write_text(
        '[[notify]]\non = ["fell"]\nexec = ["/bin/cat"]\n[[notify]]\non = ["fell"]\nexec = ["/bin/false"]\n'
    )
    command = [sys.executable, "-m", "timmyd", "notify", "test", "--json"]
    done = subprocess.run(
        [*command, "--config", str(settings), "--state", str(tmp_path)],
        capture_output=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 1
    assert sorted(one["delivered"] for one in json.loads(done.stdout).values()) == [False, True]


def _wait_for(path: Path, process: "subprocess.Popen[bytes]") -> None:
    """Until the notifier has noted its place; its end is a failure at once."""
    while not path.exists():
        try:
            process.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
        raise AssertionError(process.returncode)
