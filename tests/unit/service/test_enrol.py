"""Enrolling on a machine that is a folder; the real one is in tests/system."""

import os
import pwd
import stat
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest

from timmyd.service.enrol import EnrolError, Host, enrol, enrolled, house_of, unenrol

BOB = 54_322


class Machine:
    """Users with homes in a folder, and a service manager that notes what it is asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[str] = []
        self.pid = 0
        self.as_uid = 0
        self.users = {"alice": os.geteuid(), "bob": os.geteuid(), "Mr.X@lan": os.geteuid()}
        for user in self.users:
            (folder / "home" / user).mkdir(parents=True)

    def account(self, user: str) -> pwd.struct_passwd:
        home = str(self.folder / "home" / user)
        return pwd.struct_passwd((user, "x", self.users[user], 100, "", home, "/bin/sh"))

    def command(self, argv: Sequence[str]) -> tuple[int, str]:
        self.asked.append(" ".join(argv[1:]))
        if argv[1] == "is-active":
            return (0 if self.pid else 3), ""
        return 0, str(self.pid) if argv[1] == "show" else ""

    @property
    def host(self) -> Host:
        return Host(
            self.folder / "etc",
            self.account,
            self.command,
            lambda: self.as_uid,
            self.folder / "proc",
            not_in=("/var/tmp",),
        )

    def show(self, home: Path) -> None:
        """Let the service see `home`, as the rebind helper does."""
        view = self.folder / "proc" / str(self.pid) / "root" / home.relative_to("/")
        view.parent.mkdir(parents=True, exist_ok=True)
        view.symlink_to(home)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_an_enrolment_is_a_settings_file_that_everyone_may_read(
    machine: Machine, tmp_path: Path
) -> None:
    old = os.umask(0o077)
    try:
        done = enrol("alice", house="ezra", host=machine.host)
    finally:
        os.umask(old)

    file = tmp_path / "etc" / "conf.d" / "enrolled-alice.toml"
    assert tomllib.loads(file.read_text()) == {
        "houses": [{"name": "ezra", "home": str(tmp_path / "home" / "alice" / ".hermes")}]
    }
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert done.changed
    assert list(file.parent.iterdir()) == [file]


def test_the_house_is_named_after_the_user_where_nothing_else_is_said(machine: Machine) -> None:
    assert enrol("alice", host=machine.host).house == "alice"
    assert enrol("Mr.X@lan", host=machine.host).house == "mr_x_lan"
    assert house_of("x" * 60) == "x" * 32


def test_a_running_service_is_shown_the_home_and_then_reloaded(machine: Machine) -> None:
    machine.pid = 7
    (machine.folder / "proc" / "7").mkdir(parents=True)

    enrol("alice", host=machine.host)

    assert machine.asked[:3] == [
        "is-active --quiet timmyd.service",
        "start timmyd-rebind.service",
        "reload timmyd.service",
    ]


def test_a_stopped_service_is_left_alone(machine: Machine) -> None:
    done = enrol("alice", host=machine.host)

    assert machine.asked == ["is-active --quiet timmyd.service", "show -P MainPID timmyd.service"]
    assert done.seen is None


def test_enrolling_again_changes_only_what_is_new(machine: Machine) -> None:
    enrol("alice", host=machine.host)

    assert not enrol("alice", host=machine.host).changed
    assert enrol("alice", house="ezra", host=machine.host).changed
    assert [e.house for e in enrolled(host=machine.host)] == ["ezra"]


def test_whether_the_service_sees_a_home_is_compared_by_inode(machine: Machine) -> None:
    machine.pid = 7
    home = machine.folder / "home" / "alice" / ".hermes"
    home.mkdir()
    (machine.folder / "proc" / "7").mkdir(parents=True)
    assert enrol("alice", host=machine.host).seen is False
    problem = enrolled(host=machine.host)[0].problem
    assert problem is not None
    assert "journalctl" in problem

    machine.show(home)
    assert enrolled(host=machine.host)[0].seen is True

    home.rename(home.with_name("old"))
    home.mkdir()
    (machine.folder / "proc/7/root" / home.relative_to("/")).unlink()
    machine.show(home.with_name("old"))
    (machine.folder / "proc/7/root" / home.with_name("old").relative_to("/")).rename(
        machine.folder / "proc/7/root" / home.relative_to("/")
    )
    assert enrolled(host=machine.host)[0].seen is False


def test_a_home_that_is_not_there_yet_may_be_enrolled(machine: Machine) -> None:
    machine.pid = 7
    (machine.folder / "proc" / "7").mkdir(parents=True)

    done = enrol("alice", host=machine.host)

    assert (done.seen, done.problem) == (False, None)


def test_another_users_house_is_not_taken(machine: Machine) -> None:
    enrol("alice", house="ezra", host=machine.host)

    with pytest.raises(EnrolError, match="already the house of alice"):
        enrol("bob", house="ezra", host=machine.host)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give directories away")
def test_a_home_that_belongs_to_someone_else_is_refused(machine: Machine) -> None:
    home = machine.folder / "home" / "alice" / ".hermes"
    home.mkdir()
    os.chown(home, BOB, BOB)

    with pytest.raises(EnrolError, match="does not belong to alice"):
        enrol("alice", host=machine.host)


@pytest.mark.parametrize("user", ["nobody-here", "../../etc/passwd", "a/b", "", "-x", "a\nb", "."])
def test_a_user_who_does_not_exist_or_is_no_name_is_refused(machine: Machine, user: str) -> None:
    with pytest.raises(EnrolError):
        enrol(user, host=machine.host)

    assert not (machine.folder / "etc").exists()


@pytest.mark.parametrize("house", ["", "Ezra", "a b", "x" * 33, 'a"\nb'])
def test_a_house_that_is_no_name_is_refused(machine: Machine, house: str) -> None:
    with pytest.raises(EnrolError, match="no name of a house"):
        enrol("alice", house=house, host=machine.host)


@pytest.mark.parametrize("home", ["relative", "/", "/home/../etc"])
def test_a_home_that_is_no_plain_path_is_refused(machine: Machine, home: str) -> None:
    with pytest.raises(EnrolError, match="no plain absolute path"):
        enrol("alice", home=Path(home), host=machine.host)


def test_only_root_may_enrol_and_look(machine: Machine) -> None:
    machine.as_uid = 1000

    for act in (
        lambda: enrol("alice", host=machine.host),
        lambda: unenrol("alice", host=machine.host),
        lambda: enrolled(host=machine.host),
    ):
        with pytest.raises(EnrolError, match="sudo"):
            act()


def test_unenrolling_removes_the_file_and_tells_the_service(machine: Machine) -> None:
    enrol("alice", house="ezra", host=machine.host)
    del machine.users["alice"]
    machine.pid = 7
    machine.asked.clear()

    gone = unenrol("alice", host=machine.host)

    assert gone.house == "ezra"
    assert enrolled(host=machine.host) == []
    assert "reload timmyd.service" in machine.asked
    with pytest.raises(EnrolError, match="is not enrolled"):
        unenrol("alice", host=machine.host)


def test_a_damaged_enrolment_is_shown_as_a_problem(machine: Machine) -> None:
    enrol("alice", host=machine.host)
    (machine.folder / "etc" / "conf.d" / "enrolled-alice.toml").write_text("[[houses]]\n")

    (found,) = enrolled(host=machine.host)

    assert found.user == "alice"
    assert found.problem is not None
    assert unenrol("alice", host=machine.host).changed


def test_a_home_where_the_service_itself_can_write_is_refused(machine: Machine) -> None:
    with pytest.raises(EnrolError, match="where the service itself can write") as refused:
        enrol("alice", home=Path("/var/tmp/alice/.hermes"), host=machine.host)
    assert "--home" in str(refused.value)
