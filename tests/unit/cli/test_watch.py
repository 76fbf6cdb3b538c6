"""`status --watch` on a real terminal of 80 columns and 24 lines."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.conftest import Command
from timmyd.clock import monotonic
from timmyd.core.model import AdaptationEvent
from timmyd.report.attention_types import Attention
from timmyd.report.live import SORTS, LiveView, SeenCall, screen

SECOND_SCREEN, BACK = "\x1b[?1049h", "\x1b[?1049l"


class Terminal:
    """A command on a pseudo-terminal."""

    def __init__(self, *words: object, rows: int = 24, columns: int = 80) -> None:
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.before = termios.tcgetattr(self.slave)
        environment = {**os.environ, "TERM": "xterm"}
        for name in ("COLUMNS", "LINES"):
            environment.pop(name, None)
        self.running = subprocess.Popen(
            [sys.executable, "-m", "timmyd", *map(str, words)],
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            env=environment,
        )
        self.text = ""

    def until(self, *said: str, most_s: float = 60.0) -> str:
        ends = monotonic() + most_s
        begin = len(self.text)
        while not all(words in self.text[begin:] for words in said):
            assert monotonic() < ends, f"{said} not in {self.text[begin:][-3000:]!r}"
            if select.select([self.master], [], [], 1.0)[0]:
                self.text += os.read(self.master, 65536).decode()
        return self.text[begin:]

    def key(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def close(self) -> None:
        if self.running.poll() is None:
            self.running.kill()
            self.running.wait()
        os.close(self.slave)
        os.close(self.master)


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    made: list[Terminal] = []

    def start(*words: object, **size: Any) -> Terminal:
        made.append(Terminal(*words, **size))
        return made[-1]

    yield start
    for one in made:
        one.close()


def test_it_fits_80_by_24_sorts_and_leaves_the_terminal_as_it_was(
    timmyd: Command, state: Path, terminal: Callable[..., Terminal]
) -> None:
    timmyd("breaker", "force", "ezra", "read_file", "--state", state)
    shown = terminal("status", "--watch", "--state", state)
    first = shown.until(SECOND_SCREEN, "s sorts by house")
    assert "timmyd is " in first
    assert "read_file in ezra is refused" in first
    assert "Newest events" in first
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", first).replace("\r", "").split("\n")
    assert len(lines) == 24
    assert max(map(len, lines)) <= 80
    shown.key("s")
    shown.until("Attention, by house")
    shown.key("q")

    assert shown.running.wait(30) == 0
    shown.until(BACK)
    assert termios.tcgetattr(shown.slave) == shown.before


def test_what_happens_meanwhile_is_shown(
    timmyd: Command, state: Path, terminal: Callable[..., Terminal]
) -> None:
    shown = terminal("status", "--watch", "--state", state)
    shown.until("s sorts by house")
    timmyd("breaker", "force", "ezra", "read_file", "--state", state)
    shown.until("order.breaker_force")


def test_ctrl_c_ends_it_cleanly(state: Path, terminal: Callable[..., Terminal]) -> None:
    shown = terminal("status", "--watch", "--state", state)
    shown.until("s sorts by house")
    shown.running.send_signal(signal.SIGINT)

    assert shown.running.wait(30) == 130
    assert "Traceback" not in shown.until(BACK)
    assert termios.tcgetattr(shown.slave) == shown.before


def test_a_database_that_is_not_there_or_breaks_is_told_and_looked_at_again(
    state: Path, tmp_path: Path, terminal: Callable[..., Terminal]
) -> None:
    other = tmp_path / "other"
    shown = terminal("status", "--watch", "--state", other)
    shown.until("nothing was recorded yet")
    (other / "db").mkdir(parents=True)
    source, target = state / "db" / "timmy.db", other / "db" / "timmy.db"
    target.write_bytes(b"this is no database at all, " * 500)
    shown.until("it is damaged")
    target.unlink()
    target.write_bytes(source.read_bytes())
    shown.until("30 calls counted")


@pytest.mark.slow
def test_it_costs_less_than_a_hundredth_of_a_core(
    state: Path, terminal: Callable[..., Terminal]
) -> None:
    shown = terminal("status", "--watch", "--state", state)
    shown.until("s sorts by house")

    def cpu_s() -> float:
        fields = Path(f"/proc/{shown.running.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    began, before = monotonic(), cpu_s()
    while monotonic() - began < 30:
        if select.select([shown.master], [], [], 1.0)[0]:
            os.read(shown.master, 65536)

    assert (cpu_s() - before) / (monotonic() - began) < 0.01


def test_off_a_terminal_it_says_what_to_use(timmyd: Command, state: Path) -> None:
    done = timmyd("status", "--watch", "--state", state)

    assert done.status == 2
    assert "needs a terminal" in done.err


def view(count: int) -> LiveView:
    return LiveView(
        now=1_000.0,
        state="/var/lib/timmyd",
        pid=7,
        status={"backlog": 3, "seen_at": 990.0, "ingested_at": 400.0},
        executions=12_345,
        calls=[SeenCall(950.0, "ezra", ok) for ok in (True, True, False, None)],
        attention=[
            Attention(
                kind="fell",
                severity="warning",
                house=f"h{count - number}",
                subject="t\x1b[31m",
                text=f"number {number} " + "long " * 40,
                since=f"2026-01-{number % 28 + 1:02}T00:00:00Z",
            )
            for number in range(count)
        ],
        events=[
            AdaptationEvent(
                timestamp="2026-01-01T00:00:00Z",
                trigger="breaker",
                change_type="breaker.ezra.\x1b[31mevil",
                old_value="closed",
                new_value="open",
                reason="3 of 41",
                id=number,
            )
            for number in range(count)
        ],
    )


@pytest.mark.parametrize("size", [(80, 24), (40, 10), (200, 60), (20, 3), (1, 1)])
@pytest.mark.parametrize("count", [0, 1, 5, 100])
@pytest.mark.parametrize("sort", SORTS)
def test_every_size_is_filled_and_never_exceeded(
    size: tuple[int, int], count: int, sort: Any
) -> None:
    width, height = size
    lines = screen(view(count), sort=sort, width=width, height=height).plain.split("\n")

    assert len(lines) == height
    assert max(map(len, lines)) <= width
    assert all(line.isprintable() for line in lines)


def test_rates_and_orders_are_what_they_say() -> None:
    text = {sort: screen(view(3), sort=sort, width=200, height=40).plain for sort in SORTS}

    assert (
        "12,345 calls counted, 3 files wait, last read 10 min ago, last tick 10 s ago"
        in text["harm"]
    )
    assert "0.8 calls/min, 67 % ok; ezra 0.8 calls/min" in text["harm"]
    order = {sort: re.findall(r"number (\d)", shown) for sort, shown in text.items()}
    assert order == {
        "harm": ["0", "1", "2"], "house": ["2", "1", "0"], "newest": ["2", "1", "0"]
    }  # fmt: skip
