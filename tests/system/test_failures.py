"""What goes wrong on a server for years: each ends in the state that systemd should show, in plain words."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.system.server import Server, session

pytestmark = pytest.mark.system

UNIT = "timmyd.service"
DROPIN = "/etc/systemd/system/timmyd.service.d"
STATE = "/var/lib/timmyd"
TROUBLE_S = 30

# Run instead of `timmyd run`: the real daemon, with a loop that hangs, or eats memory, on demand.
FAILPOINT = """
import pathlib, sys, time
from timmyd.service import loop
turn = loop.Daemon.turn
def failing(self):
    here = pathlib.Path("/var/lib/timmyd")
    if (here / "hang").exists():
        (here / "hang").unlink()
        while True:
            time.sleep(1)
    if (here / "eat").exists():
        (here / "eat").unlink()
        eaten = []
        while True:
            eaten.append(bytes(bytearray(b"x" * 10_000_000)))
    turn(self)
loop.Daemon.turn = failing
from timmyd.cli import main
sys.argv = ["timmyd", "run"]
main()
"""


def state_of(server: Server) -> tuple[str, str, str]:
    shown = server.show(UNIT, "ActiveState", "Result", "ExecMainStatus")
    return shown["ActiveState"], shown["Result"], shown["ExecMainStatus"]


def words(server: Server) -> str:
    """What the journal says of this start of the service, as text."""
    return server.run(f"journalctl -u {UNIT} -o cat --no-pager -n 200").out


def restart(server: Server) -> None:
    server.run(f"systemctl reset-failed {UNIT}; systemctl restart {UNIT}").check()
    server.until(f"systemctl is-active {UNIT}")


@contextmanager
def drop_in(server: Server, text: str) -> Iterator[None]:
    server.run(f"mkdir -p {DROPIN} && cat > {DROPIN}/test.conf", text=f"[Service]\n{text}").check()
    server.run("systemctl daemon-reload").check()
    try:
        restart(server)
        yield
    finally:
        server.run(f"rm -f {DROPIN}/test.conf; systemctl daemon-reload").check()
        restart(server)


@contextmanager
def failpoints(server: Server, more: str = "") -> Iterator[None]:
    server.run("cat > /opt/timmyd/failpoint.py", text=FAILPOINT).check()
    start = "ExecStart=\nExecStart=/opt/timmyd/venv/bin/python -P /opt/timmyd/failpoint.py\n"
    with drop_in(server, f"{start}RestartSec=100ms\n{more}"):
        yield


def test_a_daemon_that_is_killed_comes_back_and_loses_nothing(server: Server) -> None:
    server.write("alice", "sessions/a.json", session("a", 3))
    server.until_total(3, "ezra")
    before = server.main_pid()

    server.run(f"kill -9 {before}").check()

    server.until(
        f"p=$(systemctl show -P MainPID {UNIT}); [ $p != 0 ] && [ $p != {before} ] && "
        f"systemctl is-active {UNIT}"
    )
    assert server.total("ezra") == 3
    assert int(server.show(UNIT, "NRestarts")["NRestarts"]) == 1
    server.write("alice", "sessions/b.json", session("b", 1))
    server.until_total(4, "ezra")


def test_a_loop_that_hangs_is_killed_by_the_watchdog_and_says_where_it_hung(server: Server) -> None:
    with failpoints(server, "WatchdogSec=2\n"):
        before = server.main_pid()
        server.run(f"touch {STATE}/hang").check()

        server.until(f"test $(systemctl show -P NRestarts {UNIT}) -ge 1", timeout_s=TROUBLE_S)
        server.until(f"systemctl is-active {UNIT}")

        assert server.main_pid() != before
        said = words(server)
        assert "Watchdog timeout" in said
        assert "in failing" in said, "the fault handler shows the stack"
        server.until("timmyd status", timeout_s=TROUBLE_S)


def test_a_daemon_that_eats_memory_is_ended_by_the_limit_and_comes_back(server: Server) -> None:
    has_controller = server.run("grep -qw memory /sys/fs/cgroup/cgroup.controllers").status == 0
    # a box inside a container may have no memory controller: there the address space is the limit
    limit, told = ("", "oom-kill") if has_controller else ("LimitAS=600M\n", "MemoryError")
    with failpoints(server, limit):
        before = server.main_pid()
        server.run(f"touch {STATE}/eat").check()

        server.until(f"journalctl -u {UNIT} -o cat | grep -q {told}", timeout_s=TROUBLE_S)
        server.until(
            f"p=$(systemctl show -P MainPID {UNIT}); [ $p != 0 ] && [ $p != {before} ] && "
            f"systemctl is-active {UNIT}",
            timeout_s=TROUBLE_S,
        )


def test_wrong_settings_end_the_start_with_78_and_without_a_restart(server: Server) -> None:
    server.run("printf '[schedule]\\ntickk = 3\\n' > /etc/timmyd/conf.d/wrong.toml").check()
    try:
        assert server.run(f"systemctl restart {UNIT}").status != 0

        assert state_of(server) == ("failed", "exit-code", "78")
        assert server.show(UNIT, "NRestarts")["NRestarts"] == "0"
        server.until("journalctl -u timmyd-failed.service -p crit -o cat | grep -q 'is down'")
        check = server.timmyd("check")
        for said in (words(server), server.timmyd("status").err, check.out + check.err):
            assert "wrong.toml" in said
            assert "tickk" in said
    finally:
        server.run("rm /etc/timmyd/conf.d/wrong.toml").check()
        restart(server)


def test_a_reload_with_wrong_settings_fails_and_leaves_the_old_ones_in_force(
    server: Server,
) -> None:
    before = server.main_pid()
    server.run("printf '[schedule]\\ntickk = 3\\n' > /etc/timmyd/conf.d/wrong.toml").check()
    try:
        assert server.run(f"systemctl reload {UNIT}").status != 0
        assert "tickk" in server.run(f"journalctl -u {UNIT} -o cat").out

        server.run(f"systemctl kill -s HUP --kill-who=main {UNIT}").check()
        server.until(f"journalctl -u {UNIT} TIMMY_EVENT=settings_refused -o cat | grep -q tickk")
        server.until(f"systemctl is-active {UNIT}")
        assert server.main_pid() == before
    finally:
        server.run("rm /etc/timmyd/conf.d/wrong.toml").check()
    server.run(f"systemctl reload {UNIT}").check()
    server.until(f"journalctl -u {UNIT} TIMMY_EVENT=settings_reloaded -o cat | grep -q .")


@contextmanager
def small_disk(server: Server) -> Iterator[None]:
    """The state on a file system of its own, which can be filled."""
    size = "size=24m,mode=0755,uid=$(id -u timmyd),gid=$(id -g timmyd)"
    server.run(f"systemctl stop {UNIT}").check()
    server.run(f"cp -a {STATE} /tmp/state && mount -t tmpfs -o {size} none {STATE}").check()
    server.run(f"cp -a /tmp/state/. {STATE}/; rm -r /tmp/state").check()
    try:
        restart(server)
        yield
    finally:
        server.run(f"systemctl stop {UNIT}; umount {STATE}").check()
        restart(server)


def test_a_full_disk_is_said_and_survived_and_what_was_written_meanwhile_is_counted(
    server: Server,
) -> None:
    with small_disk(server):
        total = server.total("ezra")
        server.run(f"dd if=/dev/zero of={STATE}/ballast bs=4k 2>/dev/null; true")

        server.write("alice", "sessions/full.json", session("full", 5))

        server.until(
            f"journalctl -u {UNIT} -o cat TIMMY_EVENT=store_failed + TIMMY_EVENT=publish_failed"
            f" + TIMMY_EVENT=metrics_failed | grep -qi 'space\\|full'",
            timeout_s=TROUBLE_S,
        )
        assert server.show(UNIT, "ActiveState")["ActiveState"] == "active"
        server.run(f"rm {STATE}/ballast").check()
        server.until_total(total + 5, "ezra", timeout_s=TROUBLE_S)
    # the state from before is back, and finds the same session again
    server.until_total(total + 5, "ezra", timeout_s=TROUBLE_S)


def test_a_corrupt_database_ends_the_start_with_78_and_is_not_touched(server: Server) -> None:
    server.run(f"systemctl stop {UNIT} && cp -a {STATE}/db /tmp/db").check()
    server.run(f"rm -f {STATE}/db/timmy.db-*; echo garbage > {STATE}/db/timmy.db").check()
    try:
        assert server.run(f"systemctl restart {UNIT}").status != 0

        assert state_of(server) == ("failed", "exit-code", "78")
        assert server.run(f"cat {STATE}/db/timmy.db").out == "garbage\n"
        assert f"cannot use the database {STATE}/db/timmy.db" in words(server)
        assert "in trouble: the database: it is damaged" in server.timmyd("status").out
    finally:
        server.run(f"rm -r {STATE}/db && mv /tmp/db {STATE}/db").check()
        restart(server)


def test_a_database_of_a_newer_timmyd_ends_the_start_with_78(server: Server) -> None:
    change = (
        "import sqlite3, sys; d = sqlite3.connect(sys.argv[1]); d.execute(sys.argv[2]); d.commit()"
    )
    python = ("/opt/timmyd/venv/bin/python", "-Ic", change, f"{STATE}/db/timmy.db")
    server.run(f"systemctl stop {UNIT}").check()
    server.run(*python, "INSERT INTO migrations VALUES (9999, 0)").check()
    try:
        assert server.run(f"systemctl restart {UNIT}").status != 0

        assert state_of(server) == ("failed", "exit-code", "78")
        assert "schema is version 9999" in words(server)
    finally:
        server.run(*python, "DELETE FROM migrations WHERE version = 9999").check()
        restart(server)


def test_a_home_that_cannot_be_shown_is_said_and_the_others_go_on(server: Server) -> None:
    server.run("mv ~/.hermes ~/away && touch ~/.hermes", user="bob").check()
    try:
        server.run("systemctl start timmyd-rebind.service").check()

        said = server.run("journalctl -u timmyd-rebind -o cat --no-pager").out
        assert "bob: /home/bob/.hermes is not a directory" in said
        assert "is not a directory" in server.timmyd("enrolled").out
        total = server.total("ezra")
        server.write("alice", "sessions/others.json", session("others", 1))
        server.until_total(total + 1, "ezra")
    finally:
        server.run("rm ~/.hermes && mv ~/away ~/.hermes", user="bob").check()
        server.run("systemctl start timmyd-rebind.service").check()


def test_the_same_problem_of_a_home_is_said_once(server: Server) -> None:
    server.run("mv ~/.hermes ~/away && touch ~/.hermes", user="bob").check()
    try:
        for _ in range(3):
            server.run("systemctl start timmyd-rebind.service").check()

        entries = server.journal("-u", "timmyd-rebind.service", "-p", "warning", "-n", "50")
        since = [entry for entry in entries if "is not a directory" in str(entry["MESSAGE"])]
        assert len(since) == 2, "once here, once in the test before"
    finally:
        server.run("rm ~/.hermes && mv ~/away ~/.hermes", user="bob").check()
        server.run("systemctl start timmyd-rebind.service").check()


def test_a_missing_user_of_the_service_ends_the_start_at_once(server: Server) -> None:
    server.run(f"systemctl stop {UNIT} && cp /etc/passwd /etc/group /etc/shadow /tmp/").check()
    server.run("userdel timmyd").check()
    try:
        assert server.run(f"systemctl restart {UNIT}").status != 0

        assert state_of(server) == ("failed", "exit-code", "217")
        assert "user" in words(server).lower()
    finally:
        server.run("cp /tmp/passwd /tmp/group /tmp/shadow /etc/").check()
        restart(server)


def test_a_stop_is_clean_and_takes_well_under_a_second_even_under_load(server: Server) -> None:
    busy = 'for i in $(seq 200); do echo "$0" > ~/.hermes/sessions/load_$i.json; done'
    server.run("sh", "-c", busy, session("load", 200), user="bob").check()

    took = server.run(f"time -p systemctl stop {UNIT}", timeout_s=60)

    seconds = float(took.err.split()[1])
    assert state_of(server)[:2] == ("inactive", "success")
    print(f"stopped after {seconds} s")
    assert seconds < 5 * 1.0
    restart(server)


@pytest.fixture
def fallback(server: Server) -> Iterator[Callable[[], None]]:
    """The drop-in that shows every home."""
    conf = f"{DROPIN}/all-homes.conf"

    def install() -> None:
        server.run(f"install -D -m 0644 /src/systemd/all-homes.conf {conf}").check()
        server.run("systemctl daemon-reload").check()
        restart(server)

    yield install
    server.run(f"rm -f {conf} /etc/timmyd/conf.d/dave.toml; systemctl daemon-reload").check()
    restart(server)


def test_the_fallback_sees_a_home_that_only_the_settings_name(
    server: Server, fallback: Callable[[], None]
) -> None:
    server.write("dave", "sessions/d.json", session("d", 2))
    house = '[[houses]]\\nname = "dave"\\nhome = "/home/dave/.hermes"\\n'
    server.run(f"printf '{house}' > /etc/timmyd/conf.d/dave.toml").check()

    fallback()

    server.until_total(2, "dave")
    exposure = server.run("systemd-analyze security --no-pager timmyd.service | tail -1").out
    assert any(score in exposure for score in ("0.6", "0.7")), exposure
