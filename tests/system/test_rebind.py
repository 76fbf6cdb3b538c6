"""How the rebind helper judges a home, without mounting anything."""

import os
import pwd
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

HELPER = Path(__file__).resolve().parents[2] / "systemd" / "timmyd-rebind"
ALICE, BOB = 54_321, 54_322

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give directories away")


@pytest.fixture(scope="module")
def helper() -> dict[str, Any]:
    found = runpy.run_path(str(HELPER))
    # homes of these tests lie in /tmp, where on a server nothing is shown
    found["open_home"].__globals__["NOT_IN"] = ("/var/tmp", "/var/lib/timmyd")
    return found


def account(uid: int) -> pwd.struct_passwd:
    return pwd.struct_passwd(("alice", "x", uid, uid, "", "/nowhere", "/bin/sh"))


def home_of(folder: Path, uid: int) -> Path:
    folder.mkdir()
    os.chown(folder, uid, uid)
    return folder


def laid(link: Path, target: Path | str, uid: int) -> Path:
    link.symlink_to(target)
    os.chown(link, uid, uid, follow_symlinks=False)
    return link


def test_a_home_of_the_user_is_opened_as_it_is(helper: dict[str, Any], tmp_path: Path) -> None:
    home = home_of(tmp_path / "home", ALICE)

    fd, identity = helper["open_home"](str(home), account(ALICE))

    assert identity == (home.stat().st_dev, home.stat().st_ino)
    os.close(fd)


def test_a_home_of_somebody_else_is_refused(helper: dict[str, Any], tmp_path: Path) -> None:
    home = home_of(tmp_path / "home", BOB)

    with pytest.raises(helper["Refused"], match="does not belong to alice"):
        helper["open_home"](str(home), account(ALICE))


def test_a_link_is_followed_only_if_root_or_the_user_laid_it_to_what_is_the_users(
    helper: dict[str, Any], tmp_path: Path
) -> None:
    hers = home_of(tmp_path / "hers", ALICE)
    his = home_of(tmp_path / "his", BOB)

    for link in (laid(tmp_path / "own", hers, ALICE), laid(tmp_path / "admins", "hers", 0)):
        fd, identity = helper["open_home"](str(link), account(ALICE))
        assert identity == (hers.stat().st_dev, hers.stat().st_ino)
        os.close(fd)
    for link in (laid(tmp_path / "to-his", his, ALICE), laid(tmp_path / "by-him", hers, BOB)):
        with pytest.raises(helper["Refused"]):
            helper["open_home"](str(link), account(ALICE))


@pytest.mark.parametrize("path", ["relative", "/", "/tmp/../etc", "/tmp//x", "/tmp/", ""])
def test_a_path_that_is_not_plain_is_refused(helper: dict[str, Any], path: str) -> None:
    with pytest.raises(helper["Refused"], match="plain absolute path"):
        helper["open_home"](path, account(0))


def test_a_loop_of_links_and_a_file_are_refused(helper: dict[str, Any], tmp_path: Path) -> None:
    laid(tmp_path / "a", "b", 0)
    laid(tmp_path / "b", "a", 0)
    (tmp_path / "file").touch()

    with pytest.raises(helper["Refused"], match="loop"):
        helper["open_home"](str(tmp_path / "a"), account(0))
    with pytest.raises(helper["Refused"], match="not a directory"):
        helper["open_home"](str(tmp_path / "file"), account(0))


def test_only_root_lays_anything_that_is_named_in_an_enrolment(
    helper: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(helper["Enrolments"].read.__globals__, "ENROLMENTS", str(tmp_path))
    home = home_of(tmp_path / "home", 0)
    (tmp_path / "enrolled-root.toml").write_text(f'[[houses]]\nname = "r"\nhome = "{home}"\n')
    (tmp_path / "enrolled-nobody-here.toml").write_text(f'[[houses]]\nhome = "{home}"\n')
    (tmp_path / "enrolled-daemon.toml").write_text("[[houses]]\n")
    (tmp_path / "enrolled-bin.toml").write_text("not toml")
    (tmp_path / "other.toml").write_text('[[houses]]\nhome = "/etc"\n')

    found = helper["Enrolments"]({})
    found.read()

    assert list(found.homes) == [str(home)]
    assert set(found.problems) == {"nobody-here", "daemon", "bin"}
    assert "no such user" in found.problems["nobody-here"]
    for fd, _identity in found.homes.values():
        os.close(fd)


def test_an_enrolment_that_did_not_change_is_not_parsed_again(
    helper: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(helper["Enrolments"].read.__globals__, "ENROLMENTS", str(tmp_path))
    file = tmp_path / "enrolled-root.toml"
    file.write_text('[[houses]]\nhome = "/somewhere"\n')
    first = helper["Enrolments"]({}).paths(file.name)
    monkeypatch.setitem(sys.modules, "tomllib", None)

    again = helper["Enrolments"]({file.name: first}).paths(file.name)

    assert again == first == (file.stat().st_mtime_ns, ["/somewhere"])


def test_nothing_is_shown_where_the_service_itself_can_write(helper: dict[str, Any]) -> None:
    for home in ("/var/tmp/alice", "/var/lib/timmyd/x", "/var/tmp"):
        with pytest.raises(helper["Refused"], match="where the service can write"):
            helper["open_home"](home, account(ALICE))
