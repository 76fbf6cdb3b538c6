"""The unit of one user: placed, put back when it does not start, and taken away."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from timmyd.service.shipped import checkout, shipped
from timmyd.service.user_service import ServiceError, UserService

OLD = "[Service]\nExecStart=/usr/bin/python3 -m timmyd run\n"


class Systemd:
    """Answers as systemctl does; words that begin with one of `fails` fail."""

    def __init__(self, *fails: str) -> None:
        self.fails = fails
        self.asked: list[str] = []

    def __call__(self, argv: Sequence[str]) -> tuple[int, str]:
        line = " ".join(argv[2:] if argv[0] == "systemctl" else argv)
        self.asked.append(line)
        if any(word in line for word in self.fails):
            return (78 if "check" in line else 1), "no, because"
        return 0, "ActiveState=active\nStatusText=revision 1" if line.startswith("show ") else ""


def service(folder: Path, systemd: Systemd) -> UserService:
    return UserService(
        environment={"HOME": str(folder)}, command=systemd, python="/venv/bin/python",
        service_settings=folder / "etc", lingering=folder,
    )  # fmt: skip


def test_it_is_placed_enabled_and_started(tmp_path: Path) -> None:
    systemd = Systemd()
    mine = service(tmp_path, systemd)
    state = mine.install(tmp_path / ".hermes")
    assert mine.unit == tmp_path / ".config/systemd/user/timmyd.service"
    assert "ExecStart=/venv/bin/python -P -m timmyd run" in mine.unit.read_text()
    assert (state.active, state.says, state.lingers) == ("active", "revision 1", False)
    assert "/venv/bin/python is gone" in state.trouble
    assert systemd.asked[2:5] == [
        "daemon-reload",
        "enable --quiet timmyd.service",
        "restart timmyd.service",
    ]


@pytest.mark.parametrize("fails", ["daemon-reload", "enable", "restart"])
@pytest.mark.parametrize("before", [None, OLD])
def test_what_does_not_start_is_put_back(tmp_path: Path, fails: str, before: str | None) -> None:
    mine = service(tmp_path, Systemd(fails))
    if before is not None:
        mine.unit.parent.mkdir(parents=True)
        mine.unit.write_text(before)
    with pytest.raises(ServiceError, match="does not start: no, because"):
        mine.install(tmp_path / ".hermes")
    assert (mine.unit.read_text() if mine.unit.exists() else None) == before


@pytest.mark.parametrize(
    ("fails", "words"),
    [("show-environment", "log in as this user"), ("check", "settings are wrong")],
)
def test_where_it_cannot_be_nothing_is_placed(tmp_path: Path, fails: str, words: str) -> None:
    mine = service(tmp_path, Systemd(fails))
    with pytest.raises(ServiceError, match=words):
        mine.install(tmp_path / ".hermes")
    assert not mine.unit.exists()


def test_a_home_of_the_machines_service_is_refused_by_whatever_name(tmp_path: Path) -> None:
    home = tmp_path / ".hermes"
    home.mkdir()
    (tmp_path / "link").symlink_to(home)
    (tmp_path / "etc" / "conf.d").mkdir(parents=True)
    text = f'[[houses]]\nname = "carol"\nhome = "{home}"\n'
    (tmp_path / "etc" / "conf.d" / "enrolled-carol.toml").write_text(text)
    mine = service(tmp_path, Systemd())
    for named in (home, tmp_path / "link"):
        with pytest.raises(ServiceError, match="read by the system's service already"):
            mine.install(named)
    mine.install(tmp_path / "another")


def test_it_is_taken_away_once(tmp_path: Path) -> None:
    mine = service(tmp_path, Systemd())
    mine.install(tmp_path / ".hermes")
    assert [mine.uninstall(), mine.uninstall()] == [True, False]
    assert mine.state().unit is None


def test_what_ships_is_found_and_what_does_not_is_an_error() -> None:
    assert checkout() is not None
    for name in ("systemd/install", "systemd/timmyd-user.service", "config/timmyd.toml"):
        assert shipped(name).is_file()
    with pytest.raises(FileNotFoundError):
        shipped("systemd/nothing")
