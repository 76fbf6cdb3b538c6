"""Programs that leave things running, places that are no files, clocks that are set back: nobody is held up."""

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import eventually
from tests.unit.notify.test_delivery import Rig, program
from tests.unit.notify.test_outbox import alert
from timmyd.notify.destinations import DeliveryError, Program, Webhook


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

    def is_over() -> bool:
        try:
            return state.read_text().split()[2] == "Z"
        except (FileNotFoundError, ProcessLookupError):
            return True

    eventually(is_over)


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


def answered(speak: Callable[[socket.socket], None], timeout_s: float) -> str:
    """What a webhook makes of a server that says this."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            caller, _ = server.accept()
            with caller:
                caller.recv(65_536)
                speak(caller)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            port = server.getsockname()[1]
            return Webhook(f"http://127.0.0.1:{port}/", timeout_s=timeout_s).deliver([alert(1)])
        finally:
            thread.join()


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"junk\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 " + b"9" * 70_000,
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 300 + b"\r\n",
    ],
)
def test_a_server_that_speaks_no_http_is_a_delivery_error(said: bytes) -> None:
    with pytest.raises(DeliveryError):
        answered(lambda caller: caller.sendall(said), 20.0)


@pytest.mark.parametrize("url", ["http://[bad/", "http://h\nx/", "http://127.0.0.1:1/\u20ac"])
def test_an_address_that_is_none_is_a_delivery_error(url: str) -> None:
    with pytest.raises(DeliveryError):
        Webhook(url).deliver([alert(1)])


def test_a_server_that_answers_byte_by_byte_is_not_listened_to_for_ever() -> None:
    hung_up = threading.Event()

    def trickle(caller: socket.socket) -> None:
        caller.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n")
        for _ in range(60_000):
            try:
                caller.sendall(b"x")
            except OSError:
                hung_up.set()
                return
            time.sleep(0.01)

    assert answered(trickle, 1.0) == ""
    assert hung_up.is_set()
