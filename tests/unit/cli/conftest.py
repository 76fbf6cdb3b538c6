"""A Hermes home with hostile names in it, a state that has read it, and a way to run commands here."""

import gc
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from timmyd.cli.app import main
from timmyd.clock import now
from timmyd.house.recorder import Recorder

HOSTILE = "evil\x1b[31m\u202e\u2028tool"


class Done(NamedTuple):
    status: int
    out: str
    err: str


Command = Callable[..., Done]


@pytest.fixture
def timmyd(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Command]:
    def run(*words: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["timmyd", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return Done(int(ended.value.code or 0), out, err)

    yield run
    gc.enable()
    gc.unfreeze()


@pytest.fixture(autouse=True)
def nobody_elses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees, or touches, what is in this user's home."""
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "STATE_DIRECTORY", "TIMMY_POLICY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HERMES_HOME", str(tmp_path / "home"))
    (tmp_path / "user").mkdir()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    at = now() - 600
    recorder = Recorder(
        folder / "sessions" / "timmy", house="ezra", kit="1", clock=lambda: at, keep_s=math.inf
    )
    for number in range(30):
        recorder.tool(
            "s1",
            tool=HOSTILE if number % 10 == 9 else "read_file",
            call_id=f"call_{number}",
            turn="1",
            inner=False,
            model="hermes3:8b",
            signature=f"{number % 3:016x}",
            shape=".py",
            outcome="error" if number % 10 == 9 else "ok",
            rule="given",
            error_type=None,
            latency_ms=12.0,
            policy=1,
            followed=None,
        )
    recorder.end("s1", completed=True, interrupted=False)
    return folder


@pytest.fixture
def state(timmyd: Command, home: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    done = timmyd("run", "--once", "--home", f"{home}=ezra", "--state", folder)
    assert done.status == 0, done.err
    return folder
