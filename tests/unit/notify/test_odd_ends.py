"""Programs that leave things running, places that are no files, clocks that are set back: nobody is held up."""

import json
import os
import signal
from pathlib import Path

import pytest

from tests.unit.notify.test_delivery import Rig, program
from tests.unit.notify.test_outbox import alert
from timmyd.notify.destinations import DeliveryError, Program


def test_a_program_may_leave_something_running() -> None:
    leaves = ["/bin/sh", "-c", 'sleep 60 & echo "{\\"pid\\": $!}"']
    answer = json.loads(Program(leaves, timeout_s=20.0).deliver([alert(1)]))
    os.kill(answer["pid"], signal.SIGKILL)


def test_a_program_that_hangs_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    hangs = ["/bin/sh", "-c", f"sleep 60 & echo $! > {note}; wait"]
    with pytest.raises(DeliveryError, match="Timeout"):
        Program(hangs, timeout_s=2.0).deliver([alert(1)])
    state = Path(f"/proc/{int(note.read_text())}/stat")
    assert not state.exists() or state.read_text().split()[2] == "Z"


@pytest.mark.parametrize("kind", ["fifo", "link to nothing", "message of nothing"])
def test_a_place_that_is_something_else_holds_nobody_up(tmp_path: Path, kind: str) -> None:
    rig = Rig(tmp_path, program(tmp_path))
    place = tmp_path / "notify.json"
    place.unlink()
    if kind == "fifo":
        os.mkfifo(place)
    elif kind == "link to nothing":
        place.symlink_to(tmp_path / "nowhere")
    else:
        name = next(iter(rig.targets))
        empty = {"to": name, "events": [], "since": 0, "due": 0}
        place.write_text(json.dumps({"seen": 0, "waiting": [empty]}))
    rig.runner = rig.start()
    rig.later()
    rig.happens("fell", "fell.ezra.x")
    rig.later()
    assert (tmp_path / "told").read_text() == "1\n"


def test_a_clock_that_is_set_back_holds_no_message_up(tmp_path: Path) -> None:
    rig = Rig(tmp_path, program(tmp_path))
    rig.happens("fell", "fell.ezra.x")
    rig.runner.step()
    rig.now -= 86_400.0 * 400
    rig.later()
    assert (tmp_path / "told").read_text() == "1\n"
