"""From a fresh clone to a server that learns, through reboots and upgrades, and away again."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system.server import PYTHON, USERS, Server, session

pytestmark = pytest.mark.system

LATE_S = 25
"""A home that appears late is shown within ten seconds, and then read."""

SETTINGS = "/etc/timmyd/timmyd.toml"
DROPINS = "/etc/systemd/system/timmyd.service.d"


@pytest.fixture(scope="module")
def server(make_server: Callable[[str], Server]) -> Iterator[Server]:
    """Like the fixture of the other files, yet it knows what was there before."""
    with make_server("install") as there:
        there.add_users()
        there.before = there.files()
        there.install().check()
        yield there


def test_after_the_installation_the_service_runs_and_says_what_it_does(server: Server) -> None:
    shown = server.show(
        "timmyd.service",
        "ActiveState",
        "SubState",
        "UnitFileState",
        "StatusText",
        "NRestarts",
        "Type",
    )

    assert shown.pop("StatusText").startswith("revision ")
    assert shown == {
        "ActiveState": "active",
        "SubState": "running",
        "UnitFileState": "enabled",
        "NRestarts": "0",
        "Type": "notify",
    }
    assert server.show("timmyd-rebind.timer", "ActiveState")["ActiveState"] == "active"


def test_the_installed_unit_is_clean_and_hardly_exposed(server: Server) -> None:
    units = "/usr/local/lib/systemd/system"
    verified = server.run(
        f"systemd-analyze verify --man=no {units}/timmyd.service {units}/timmyd-rebind.timer"
    )
    assert (verified.status, verified.out + verified.err) == (0, "")

    said = server.run("systemd-analyze security --no-pager timmyd.service").out
    exposure = re.search(r"Overall exposure level for timmyd.service: ([0-9.]+)", said)
    assert exposure is not None, said
    assert float(exposure[1]) <= 0.6


def test_it_runs_on_the_systems_own_python_from_its_own_environment(server: Server) -> None:
    python = server.run("/opt/timmyd/venv/bin/python -Ic 'import sys; print(sys.version)'").out
    assert python == server.run(f"{PYTHON} -c 'import sys; print(sys.version)'").out

    pid = server.main_pid()
    maps = server.run(f"cat /proc/{pid}/maps").check().out
    files = {line.split(maxsplit=5)[5] for line in maps.splitlines() if "/" in line}
    allowed = ("/usr/", "/opt/timmyd/", "/var/lib/timmyd/", "/lib/", "/lib64/")
    assert [file for file in files if file.startswith("/") and not file.startswith(allowed)] == []


def test_sessions_in_homes_of_mode_0700_are_seen_once_their_users_are_enrolled(
    server: Server,
) -> None:
    server.write("alice", "sessions/a.json", session("a", 3))
    server.write("bob", "sessions/b.json", session("b", 2))
    before = server.main_pid()

    server.timmyd("enrol", "alice", "--house", "ezra").check()
    server.timmyd("enrol", "bob").check()

    server.until_total(3, "ezra")
    server.until_total(2, "bob")
    assert server.main_pid() == before, "enrolling must not restart the service"


def test_a_session_that_is_written_now_is_counted_now_and_once(server: Server) -> None:
    for calls in range(1, 6):
        server.write("alice", "sessions/live.json", session("live", calls))

    server.until_total(3 + 5, "ezra")


def test_the_policy_is_readable_by_every_user_and_writable_by_none(server: Server) -> None:
    for user in USERS:
        assert server.policy(user)["schema"] == "timmy.policy/1"
        for attempt in (
            "echo x >> /var/lib/timmyd/policy.json",
            "rm -f /var/lib/timmyd/policy.json",
            "touch /var/lib/timmyd/new",
            "mv /var/lib/timmyd/policy.json /tmp/",
            "cat /var/lib/timmyd/db/timmy.db",
            "ls /var/lib/timmyd/db",
        ):
            assert server.run(attempt, user=user).status != 0, attempt


def test_the_metrics_are_readable_by_everyone(server: Server) -> None:
    server.until("test -s /var/lib/timmyd/metrics.prom", user="carol")

    checked = server.run("promtool check metrics < /var/lib/timmyd/metrics.prom", user="carol")
    assert checked.status in {0, 127}, checked.out + checked.err


def test_an_event_is_found_by_its_fields(server: Server) -> None:
    (ready, *_) = server.journal("-u", "timmyd.service", "TIMMY_EVENT=daemon_ready")

    assert ready["PRIORITY"] == "6"
    assert ready["SYSLOG_IDENTIFIER"] == "timmyd"


def test_who_is_enrolled_and_seen_is_told_to_root(server: Server) -> None:
    rows = json.loads(server.timmyd("enrolled", "--json").check().out)

    assert [(row["user"], row["house"], row["seen"]) for row in rows] == [
        ("alice", "ezra", True),
        ("bob", "bob", True),
    ]
    assert server.run("timmyd", "enrolled", user="carol").status != 0


def test_the_homes_of_users_who_are_not_enrolled_are_out_of_sight(server: Server) -> None:
    server.write("carol", "sessions/c.json", session("c", 4))
    inside = f"nsenter -t {server.main_pid()} -m -r --"

    homes = server.run(f"{inside} ls /home").check().out.split()

    assert homes == ["alice", "bob"]
    assert server.run(f"{inside} ls -A /home/alice").out.split() == [".hermes"]
    assert server.run(f"{inside} cat /home/carol/.hermes/sessions/c.json").status != 0
    assert server.run(f"{inside} cat /etc/shadow").status != 0


def test_nothing_can_be_written_in_a_home_from_inside_the_service(server: Server) -> None:
    inside = f"nsenter -t {server.main_pid()} -m -r --"

    written = server.run(f"{inside} touch /home/alice/.hermes/x")

    assert written.status != 0
    assert "Read-only" in written.err


def test_a_user_enrolled_while_it_runs_is_seen_with_all_their_history(server: Server) -> None:
    before = server.main_pid()

    server.timmyd("enrol", "carol").check()

    server.until_total(4, "carol")
    assert server.main_pid() == before


def test_a_home_outside_of_home_is_seen_and_so_is_roots(server: Server) -> None:
    server.run("useradd --create-home --base-dir /srv eve && chmod 700 /srv/eve").check()
    text = session("e", 2)
    for home in ("/srv/eve", "/root"):
        server.run(f"mkdir -p {home}/.hermes/sessions").check()
        server.run(f"cat > {home}/.hermes/sessions/e.json", text=text).check()
    server.run("chown -R eve:eve /srv/eve").check()

    for user in ("eve", "root"):
        server.timmyd("enrol", user).check()
        server.until_total(2, user)
        server.timmyd("unenrol", user).check()


def test_a_home_that_appears_late_is_seen(server: Server) -> None:
    server.run("rm -r ~/.hermes", user="dave").check()
    server.timmyd("enrol", "dave").check()

    server.write("dave", "sessions/d.json", session("d", 1))

    server.until_total(1, "dave", timeout_s=LATE_S)


def test_a_home_that_is_deleted_and_made_again_is_seen(server: Server) -> None:
    server.run("rm -r ~/.hermes", user="dave").check()

    server.write("dave", "sessions/d2.json", session("d2", 2))

    server.until_total(1 + 2, "dave", timeout_s=LATE_S)


def test_a_sessions_directory_that_is_deleted_and_made_again_is_seen(server: Server) -> None:
    server.run("rm -r ~/.hermes/sessions", user="dave").check()

    server.write("dave", "sessions/d3.json", session("d3", 1))

    server.until_total(3 + 1, "dave", timeout_s=LATE_S)


def test_a_home_that_is_renamed_away_and_replaced_is_seen(server: Server) -> None:
    server.run("mv ~/.hermes ~/old", user="dave").check()

    server.write("dave", "sessions/d4.json", session("d4", 3))
    server.until_total(4 + 3, "dave", timeout_s=LATE_S)

    server.write("dave", "sessions/d5.json", session("d5", 1), home="old")
    server.write("dave", "sessions/d6.json", session("d6", 1))
    server.until_total(7 + 1, "dave", timeout_s=LATE_S)


def test_a_user_who_is_no_longer_enrolled_is_out_of_sight_and_what_was_learnt_stays(
    server: Server,
) -> None:
    server.timmyd("unenrol", "dave").check()

    inside = f"nsenter -t {server.main_pid()} -m -r --"
    assert server.run(f"{inside} ls /home/dave/.hermes").status != 0
    assert server.total("dave") == 8


def test_after_a_reboot_all_is_as_it_was(server: Server) -> None:
    revision = server.policy()["revision"]
    total = server.total()

    server.reboot()

    server.until("systemctl is-active timmyd.service")
    assert server.policy()["revision"] >= revision
    server.write("alice", "sessions/after.json", session("after", 1))
    server.until_total(total + 1, timeout_s=LATE_S)


def test_installing_again_changes_nothing_that_an_operator_or_the_service_made(
    server: Server,
) -> None:
    server.run(f"echo '[schedule]\ntick = \"10s\"' > {SETTINGS}").check()
    enrolled = server.run("ls /etc/timmyd/conf.d").out
    total = server.total()

    done = server.install().check()

    assert f"{SETTINGS} is yours" in done.out
    assert server.run(f"cat {SETTINGS}").out == '[schedule]\ntick = "10s"\n'
    assert server.run("ls /etc/timmyd/conf.d").out == enrolled
    assert server.total() == total
    assert server.show("timmyd.service", "ActiveState")["ActiveState"] == "active"
    assert server.run("ls /opt/timmyd").out.split() == ["venv"]


def test_an_upgrade_over_an_older_database_migrates_it(server: Server) -> None:
    server.run("systemctl stop timmyd && mv /var/lib/timmyd/db /var/lib/timmyd/db.now").check()
    older = """
import sqlite3
from timmyd.store import schema
database = sqlite3.connect("/var/lib/timmyd/db/timmy.db")
database.execute("CREATE TABLE migrations (version INTEGER PRIMARY KEY, at REAL NOT NULL)")
for number, statements in enumerate(schema.MIGRATIONS[:-1]):
    for statement in statements:
        database.execute(statement)
    database.execute("INSERT INTO migrations VALUES (?, 0)", (number + 1,))
database.commit()
"""
    server.run("install -d -o timmyd -g timmyd -m 0700 /var/lib/timmyd/db").check()
    as_timmyd = "setpriv --reuid=timmyd --regid=timmyd --clear-groups"
    server.run(f"{as_timmyd} /opt/timmyd/venv/bin/python -I -", text=older).check()

    server.install().check()

    server.until_total(2, "bob", timeout_s=LATE_S)
    version = "select max(version) from migrations"
    ask = f"import sqlite3; print(sqlite3.connect('/var/lib/timmyd/db/timmy.db').execute('{version}').fetchone()[0])"
    known = "from timmyd.store import schema; print(schema.VERSION)"
    assert (
        server.run("/opt/timmyd/venv/bin/python", "-Ic", ask).out
        == server.run("/opt/timmyd/venv/bin/python", "-Ic", known).out
    )
    server.run("systemctl stop timmyd && rm -r /var/lib/timmyd/db").check()
    server.run("mv /var/lib/timmyd/db.now /var/lib/timmyd/db && systemctl start timmyd").check()


def test_an_upgrade_that_cannot_be_built_leaves_the_running_service_alone(server: Server) -> None:
    before = server.main_pid()

    failed = server.run("PIP_NO_INDEX=1 /src/systemd/install")

    assert failed.status != 0
    assert server.main_pid() == before


def test_uninstalling_leaves_nothing_but_settings_and_state(server: Server) -> None:
    total = server.total()
    server.run(f"echo '[schedule]\ntick = \"10s\"' > {SETTINGS}").check()
    server.run(f"install -D /dev/null {DROPINS}/mine.conf").check()

    server.install("--uninstall").check()

    left = {Path(path) for path in server.files() - server.before}
    kept = ("/var/lib/timmyd", "/etc/timmyd", DROPINS)
    assert {path for path in left if not any(path.is_relative_to(top) for top in kept)} == set()
    assert server.run("systemctl list-unit-files 'timmyd*' --no-legend").out == ""
    assert server.run("id timmyd").status == 0, "the state keeps its owner"

    server.install().check()
    assert server.run(f"cat {SETTINGS}").out == '[schedule]\ntick = "10s"\n'
    assert server.run(f"test -e {DROPINS}/mine.conf").status == 0
    assert server.total() == total


def test_settings_that_the_services_user_planted_are_told_and_not_obeyed(server: Server) -> None:
    folder = "/var/lib/timmyd/settings/timmyd.service.d"
    evil = '[Service]\\nExecStartPre=+/bin/sh -c "id > /run/pwned"\\n'
    plant = f"mkdir -p {folder} && printf '{evil}' > {folder}/x.conf"
    as_timmyd = "setpriv --reuid=timmyd --regid=timmyd --clear-groups sh -c"
    server.run("sh", "-c", f'{as_timmyd} "$0"', plant).check()
    server.run(f"mv {SETTINGS} {SETTINGS}.away").check()

    done = server.install().check()

    assert "could change it" in done.out
    assert server.run(f"ls {DROPINS}/x.conf /etc/timmyd/timmyd.service.d /run/pwned").out == ""
    server.run(f"mv {SETTINGS}.away {SETTINGS}; rm -r /var/lib/timmyd/settings").check()


def test_purging_leaves_nothing_at_all(server: Server) -> None:
    server.install("--uninstall", "--purge").check()

    assert sorted(server.files() - server.before) == []
    assert server.run("id timmyd").status != 0


def test_a_missing_python_is_said_with_the_remedy(server: Server) -> None:
    server.run(f"mv {PYTHON} {PYTHON}.away").check()
    try:
        done = server.install()
    finally:
        server.run(f"mv {PYTHON}.away {PYTHON}").check()

    assert done.status != 0
    assert "apt install python3" in done.err


def test_only_root_can_install(server: Server) -> None:
    done = server.run("/src/systemd/install", user="alice")

    assert done.status != 0
    assert "sudo" in done.err


def test_the_box_leaves_this_machine_as_it_was() -> None:
    assert "timmyd-box" not in Path("/proc/mounts").read_text()
