"""One daemon on one state."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from timmyd.errors import AlreadyRunningError, StoreError
from timmyd.service.lock import StateLock, holder

HOLDS = """
import sys
from pathlib import Path
from timmyd.service.lock import StateLock
lock = StateLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_holder_is_refused_and_told_the_pid_of_the_first(tmp_path: Path) -> None:
    with StateLock(tmp_path), pytest.raises(AlreadyRunningError) as caught:
        StateLock(tmp_path)

    assert caught.value.pid == os.getpid()
    assert f"(pid {os.getpid()}) is running on {tmp_path}" in str(caught.value)
    assert "hint: stop it first" in str(caught.value)


def test_the_lock_of_another_process_holds_until_it_dies_however_it_dies(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(AlreadyRunningError) as caught:
            StateLock(tmp_path)
        assert caught.value.pid == process.pid == holder(tmp_path)
        process.kill()
        process.wait()

    assert holder(tmp_path) is None
    with StateLock(tmp_path):
        assert holder(tmp_path) == os.getpid()


def test_a_lock_that_was_let_go_can_be_taken_again(tmp_path: Path) -> None:
    for _ in range(3):
        with StateLock(tmp_path):
            pass
    assert holder(tmp_path) is None


def test_a_refused_holder_leaves_what_the_first_wrote(tmp_path: Path) -> None:
    with StateLock(tmp_path):
        for _ in range(2):
            with pytest.raises(AlreadyRunningError):
                StateLock(tmp_path)
        assert holder(tmp_path) == os.getpid()


@pytest.mark.parametrize("text", [b"", b"\n", b"words\n"])
def test_a_holder_that_has_not_written_its_pid_yet_is_another_timmyd_without_one(
    tmp_path: Path, text: bytes
) -> None:
    with StateLock(tmp_path):
        (tmp_path / "lock").write_bytes(text)
        assert holder(tmp_path) == 0
        with pytest.raises(AlreadyRunningError) as caught:
            StateLock(tmp_path)

    assert caught.value.pid is None
    assert "pid" not in str(caught.value)


def test_nobody_holds_what_is_not_there(tmp_path: Path) -> None:
    assert holder(tmp_path / "none") is None


def test_a_state_that_cannot_be_written_is_said_to_be_that(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("in the way")

    with pytest.raises(StoreError, match="cannot be written") as caught:
        StateLock(tmp_path / "state")

    assert caught.value.hint
