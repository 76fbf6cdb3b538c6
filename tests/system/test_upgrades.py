"""A new version that does not become ready: the old one runs again, with its units and its database."""

import pytest

from tests.system.server import Server, session

pytestmark = pytest.mark.system

BAD = "/opt/bad"
FOREVER = "import time\n    while True:\n        time.sleep(1)"
CRASHES = 'raise RuntimeError("never ready")'


def make_bad(server: Server, does: str) -> None:
    """A version with another unit, another schema, and a daemon that never says that it is ready."""
    server.run(f"rm -rf {BAD} && cp -r /src {BAD}").check()
    server.run(
        f"cat >> {BAD}/timmyd/store/schema.py",
        text="""
MIGRATIONS = (*MIGRATIONS, ("CREATE TABLE bad (x)",))
VERSION = len(MIGRATIONS)
""",
    ).check()
    server.run(
        f"cat >> {BAD}/timmyd/service/systemd.py",
        text=f"""

def _never(*_words: object) -> None:
    {does}


Notifier.ready = _never
""",
    ).check()
    server.run(
        f"sed -i 's/^TimeoutStartSec=.*/TimeoutStartSec=8/; s/^Description=.*/Description=bad/'"
        f" {BAD}/systemd/timmyd.service"
    ).check()


def schema(server: Server) -> str:
    ask = "import sqlite3; print(sqlite3.connect('/var/lib/timmyd/db/timmy.db').execute('select max(version) from migrations').fetchone()[0])"
    return server.run("/opt/timmyd/venv/bin/python", "-Ic", ask).check().out


def until_old(server: Server, before: tuple[int, str, str]) -> None:
    """The version of before works on, with all that it had."""
    total, version, unit = before
    shown = server.show("timmyd.service", "ActiveState", "Description")
    assert shown["ActiveState"] == "active"
    assert shown["Description"] != "bad"
    assert server.run("cat /usr/local/lib/systemd/system/timmyd.service").out == unit
    assert schema(server) == version
    assert server.run("ls /opt/timmyd").out.split() == ["venv"]
    assert server.total() == total
    owners = server.run("find /var/lib/timmyd ! -user timmyd").out.split()
    assert owners == []


def state_of(server: Server) -> tuple[int, str, str]:
    unit = server.run("cat /usr/local/lib/systemd/system/timmyd.service").check().out
    return server.total(), schema(server), unit


@pytest.mark.parametrize("does", [CRASHES, FOREVER], ids=["crashes", "hangs"])
def test_a_version_that_does_not_become_ready_is_taken_back(server: Server, does: str) -> None:
    name = does[:5]
    total = server.total()
    server.write("alice", f"sessions/{name}.json", session(name, 3))
    server.until_total(total + 3)
    before = state_of(server)
    make_bad(server, does)

    done = server.install(source=BAD)

    assert done.status != 0
    assert "the old version runs again" in done.err
    until_old(server, before)
    server.write("alice", f"sessions/{name}2.json", session(f"{name}2", 2))
    server.until_total(before[0] + 2)


def test_an_upgrade_that_is_interrupted_is_taken_back(server: Server) -> None:
    before = state_of(server)
    make_bad(server, FOREVER)
    command = f"PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels setsid {BAD}/systemd/install >/tmp/out 2>&1 & echo $!"
    server.run(command)
    server.until("systemctl show -P Description timmyd | grep -qx bad", timeout_s=120)
    server.until("systemctl is-active timmyd | grep -qx activating")

    server.run("pkill -TERM -f '[s]ystemd/install'; pkill -TERM -x systemctl")

    server.until("grep 'the old version runs again' /tmp/out || ! cat /tmp/out", timeout_s=60)
    until_old(server, before)


def test_a_backup_of_before_is_kept_when_all_is_well(server: Server) -> None:
    server.install().check()

    kept = server.run("ls -l /var/lib/timmyd/db/before-upgrade.db").check().out
    assert "timmyd timmyd" in kept
    assert kept.startswith("-rw-------")


def test_settings_that_the_new_version_refuses_stop_the_upgrade_before_it_begins(
    server: Server,
) -> None:
    before, pid = state_of(server), server.main_pid()
    server.run("echo '[nonsense]' > /etc/timmyd/conf.d/wrong.toml").check()
    try:
        done = server.install()
    finally:
        server.run("rm /etc/timmyd/conf.d/wrong.toml").check()

    assert done.status != 0
    assert "nonsense" in done.out + done.err
    until_old(server, before)
    assert server.main_pid() == pid, "the running service was left alone"
