"""What goes over the notification socket, seen from the other end of a real one."""

import os
import socket
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from timmyd.service.systemd import STATUS_MOST, Notifier, ascii_line, watchdog_interval_s


class Manager:
    """The service manager's end: a datagram socket."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._socket.settimeout(5)

    def heard(self) -> str:
        return self._socket.recv(65536).decode("utf-8")

    def is_silent(self) -> bool:
        self._socket.setblocking(False)
        try:
            self._socket.recv(65536)
        except BlockingIOError:
            return True
        return False

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    there = Manager(str(tmp_path / "notify"))
    monkeypatch.setenv("NOTIFY_SOCKET", there.address)
    yield there
    there.close()


@pytest.fixture
def notifier(manager: Manager) -> Iterator[Notifier]:
    ours = Notifier()
    assert manager.is_silent()
    manager._socket.settimeout(5)  # noqa: SLF001 - the fixture's own fake
    yield ours
    ours.close()


def test_ready_carries_its_status_in_the_same_message(manager: Manager, notifier: Notifier) -> None:
    notifier.ready("revision 17, 2 breakers open")

    assert manager.heard() == "READY=1\nSTATUS=revision 17, 2 breakers open"


def test_reloading_carries_the_time_that_notify_reload_asks_for(
    manager: Manager, notifier: Notifier
) -> None:
    notifier.reloading()

    first, second = manager.heard().split("\n")
    assert first == "RELOADING=1"
    assert second.startswith("MONOTONIC_USEC=")
    assert int(second.partition("=")[2]) > 0


def test_the_other_words_are_those_of_sd_notify(manager: Manager, notifier: Notifier) -> None:
    notifier.stopping()
    notifier.extend_timeout(2.5)
    notifier.watchdog()

    assert [manager.heard() for _ in range(3)] == [
        "STOPPING=1",
        "EXTEND_TIMEOUT_USEC=2500000",
        "WATCHDOG=1",
    ]


def test_a_status_cannot_carry_a_second_command(manager: Manager, notifier: Notifier) -> None:
    notifier.status("reading x\nMAINPID=1\nREADY=1")

    assert manager.heard() == "STATUS=reading x?MAINPID=1?READY=1"


def test_a_status_arrives_whatever_characters_it_has(manager: Manager, notifier: Notifier) -> None:
    notifier.status("caf\u00e9 \u2713 \udc80 done")

    assert manager.heard() == "STATUS=caf\\xe9 \\u2713 \\udc80 done"


def test_a_long_status_is_cut_to_one_line_of_a_terminal() -> None:
    line = ascii_line("x" * 10_000)

    assert len(line) == STATUS_MOST
    assert line.endswith("...")


def test_a_repeated_status_is_sent_once_until_ready_replaced_it(
    manager: Manager, notifier: Notifier
) -> None:
    notifier.status("idle")
    notifier.status("idle")
    notifier.ready("up")
    notifier.status("idle")

    assert [manager.heard() for _ in range(3)] == [
        "STATUS=idle",
        "READY=1\nSTATUS=up",
        "STATUS=idle",
    ]
    assert manager.is_silent()


def test_an_abstract_socket_is_spoken_to(monkeypatch: pytest.MonkeyPatch) -> None:
    there = Manager(f"@timmyd-test-{os.getpid()}")
    monkeypatch.setenv("NOTIFY_SOCKET", there.address)
    ours = Notifier()

    ours.watchdog()

    assert there.heard() == "WATCHDOG=1"
    ours.close()
    there.close()


def test_without_a_manager_every_call_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    ours = Notifier()

    ours.ready("up")
    ours.status("x")
    ours.reloading()
    ours.stopping()
    ours.extend_timeout(1)
    ours.watchdog()
    ours.close()

    assert not ours.enabled
    assert ours.failures == 0


def test_a_manager_that_is_gone_is_counted_and_never_raises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    ours = Notifier()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # sdnotify drops a socket unclosed
        ours.ready("up")

    assert ours.failures == 1


def test_a_manager_that_was_replaced_is_found_again(
    manager: Manager, notifier: Notifier, tmp_path: Path
) -> None:
    notifier.watchdog()
    assert manager.heard() == "WATCHDOG=1"
    manager.close()
    (tmp_path / "notify").unlink()
    successor = Manager(str(tmp_path / "notify"))

    notifier.watchdog()

    assert successor.heard() == "WATCHDOG=1"
    assert notifier.failures == 0
    successor.close()


def test_a_manager_that_does_not_listen_holds_the_loop_up_only_for_the_time_limit(
    manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("timmyd.service.systemd.SEND_TIMEOUT_S", 0.01)
    ours = Notifier()
    most = 10_000  # more than any socket's queue holds

    for _ in range(most):
        ours.watchdog()
        if ours.failures:
            break

    assert ours.failures == 1
    assert not manager.is_silent()
    ours.close()


@pytest.mark.parametrize(
    ("env", "interval_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_interval_is_read_only_if_it_is_meant_for_us(
    env: dict[str, str], interval_s: float | None
) -> None:
    assert watchdog_interval_s(env, pid=7) == interval_s
