"""The attacks that a user can lay in a home of theirs, one by one, against the opener."""

import os
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from timmyd.errors import SessionError
from timmyd.service.files import (
    Directory,
    FileRefusedError,
    Reason,
    judge,
    open_checked,
    open_home,
    read_checked,
)

LARGEST = 1 << 20
ALICE, BOB = 54_321, 54_322
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@contextmanager
def refused(reason: Reason) -> Iterator[None]:
    before = open_descriptors()
    with pytest.raises(FileRefusedError) as caught:
        yield
    assert caught.value.reason is reason
    assert caught.value.code == reason.value
    assert isinstance(caught.value, SessionError)
    assert open_descriptors() == before, "a refusal left a descriptor open"


def take(home: Path, *parts: str, largest_bytes: int = LARGEST) -> bytes:
    with open_home(home) as directory:
        fd = open_checked(directory, parts, largest_bytes=largest_bytes)
    try:
        return read_checked(fd, largest_bytes=largest_bytes)
    finally:
        os.close(fd)


def test_a_plain_file_is_read_whole(home: Path) -> None:
    (home / "sessions" / "timmy").mkdir(parents=True)
    (home / "sessions" / "timmy" / "a.jsonl").write_bytes(b"x" * 70_000)

    assert take(home, "sessions", "timmy", "a.jsonl") == b"x" * 70_000


def test_what_is_opened_does_not_reach_a_child_process_and_never_waits(home: Path) -> None:
    (home / "a.json").write_bytes(b"{}")
    with open_home(home) as directory:
        fd = directory.open("a.json", largest_bytes=LARGEST)
        assert not os.get_inheritable(fd)
        assert not os.get_inheritable(directory.fd)
        assert os.get_blocking(fd) is False
        os.close(fd)


def test_a_symbolic_link_is_refused_even_to_a_file_of_the_same_owner(home: Path) -> None:
    (home / "real.json").write_bytes(b"{}")
    (home / "session_x.json").symlink_to("real.json")

    with refused(Reason.IS_LINK):
        take(home, "session_x.json")


def test_a_link_in_any_component_below_the_home_is_refused(home: Path, tmp_path: Path) -> None:
    secret = tmp_path / "elsewhere"
    (secret / "b" / "c").mkdir(parents=True)
    (secret / "b" / "c" / "x.json").write_bytes(b"secret")
    (home / "b").symlink_to(secret / "b")
    (home / "a").mkdir()
    (home / "a" / "b").symlink_to(secret / "b")

    with refused(Reason.IS_LINK):
        take(home, "b", "c", "x.json")
    with refused(Reason.IS_LINK):
        take(home, "a", "b", "c", "x.json")


def test_a_second_name_of_a_file_is_refused(home: Path, tmp_path: Path) -> None:
    (tmp_path / "theirs.json").write_bytes(b"secret")
    os.link(tmp_path / "theirs.json", home / "session_x.json")

    with refused(Reason.SEVERAL_LINKS):
        take(home, "session_x.json")


def test_a_fifo_is_refused_without_waiting_for_a_writer(home: Path) -> None:
    os.mkfifo(home / "session_x.json")

    with refused(Reason.NOT_REGULAR):
        take(home, "session_x.json")


def test_a_socket_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("x.json")
        with refused(Reason.NOT_REGULAR):
            take(home, "x.json")


@needs_root
def test_a_device_is_refused_without_being_opened(home: Path) -> None:
    try:
        os.mknod(home / "x.json", stat.S_IFCHR | 0o600, os.makedev(1, 5))
    except OSError as exc:
        pytest.skip(f"no device can be made here: {exc}")

    with refused(Reason.NOT_REGULAR):
        take(home, "x.json")


def test_a_directory_named_like_a_session_is_refused(home: Path) -> None:
    (home / "session_x.json").mkdir()

    with refused(Reason.NOT_REGULAR):
        take(home, "session_x.json")


def test_a_file_in_place_of_a_folder_is_refused(home: Path) -> None:
    (home / "sessions").write_bytes(b"")

    with refused(Reason.NOT_DIRECTORY):
        take(home, "sessions", "x.json")


@needs_root
def test_a_file_or_folder_of_another_user_is_refused(home: Path) -> None:
    (home / "theirs").mkdir()
    (home / "theirs" / "x.json").write_bytes(b"{}")
    (home / "x.json").write_bytes(b"{}")
    os.chown(home / "x.json", BOB, BOB)
    os.chown(home / "theirs", BOB, BOB)

    with refused(Reason.FOREIGN_OWNER):
        take(home, "x.json")
    with refused(Reason.FOREIGN_OWNER):
        take(home, "theirs", "x.json")


def test_a_sparse_file_of_ten_gigabytes_is_refused_by_its_size(home: Path) -> None:
    with (home / "x.json").open("wb") as file:
        file.truncate(10 << 30)

    with refused(Reason.TOO_LARGE):
        take(home, "x.json")


def test_a_file_that_grows_while_it_is_read_is_read_no_further_than_the_limit(home: Path) -> None:
    (home / "x.json").write_bytes(b"x" * 10)
    with open_home(home) as directory:
        fd = directory.open("x.json", largest_bytes=10)
    with (home / "x.json").open("ab") as file:
        file.truncate(10 << 30)

    with refused(Reason.TOO_LARGE):
        read_checked(fd, largest_bytes=10)
    os.close(fd)


def test_a_file_of_exactly_the_limit_is_read(home: Path) -> None:
    (home / "x.json").write_bytes(b"x" * 10)

    assert take(home, "x.json", largest_bytes=10) == b"x" * 10
    with refused(Reason.TOO_LARGE):
        take(home, "x.json", largest_bytes=9)


def test_a_missing_file_has_vanished_and_a_missing_home_too(home: Path) -> None:
    with refused(Reason.VANISHED):
        take(home, "x.json")
    with refused(Reason.VANISHED):
        open_home(home / "not-yet")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc/passwd", "a\0b", "../x"])
def test_a_name_that_is_a_path_is_refused(home: Path, name: str) -> None:
    with refused(Reason.BAD_NAME):
        take(home, name)
    with refused(Reason.BAD_NAME):
        take(home, name, "x.json")


def test_a_name_longer_than_names_can_be_is_refused(home: Path) -> None:
    with refused(Reason.BAD_NAME):
        take(home, "x" * 300)


@pytest.mark.parametrize(
    "name", ["a\nb.json", "\x1b[31m.json", "\udcff\udc80.json", "x" * 250 + ".json", " .json"]
)
def test_a_strange_name_is_listed_and_read_like_any_other(home: Path, name: str) -> None:
    (home / name).write_bytes(b"{}")

    with open_home(home) as directory:
        assert [entry.name for entry in directory.scan(largest_bytes=LARGEST)] == [name]
    assert take(home, name) == b"{}"


class Swapping(Directory):
    """A directory in which `name` becomes something else after the look, before the open."""

    def swap_after_look(self, monkeypatch: pytest.MonkeyPatch, name: str, other: str) -> None:
        really = os.open

        def swapped(path: str, flags: int, *, dir_fd: int) -> int:
            os.rename(other, name, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
            return really(path, flags, dir_fd=dir_fd)

        monkeypatch.setattr(os, "open", swapped)


@pytest.mark.parametrize("kind", ["link", "fifo", "hard", "foreign"])
def test_a_file_swapped_between_look_and_open_is_refused(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    (home / "x.json").write_bytes(b"{}")
    other = home / "other"
    expected = {
        "link": Reason.IS_LINK,
        "fifo": Reason.NOT_REGULAR,
        "hard": Reason.SEVERAL_LINKS,
        "foreign": Reason.FOREIGN_OWNER,
    }[kind]
    if kind == "link":
        other.symlink_to(tmp_path / "secret")
    elif kind == "fifo":
        os.mkfifo(other)
    elif kind == "hard":
        os.link(tmp_path / "secret", other)
    else:
        if os.geteuid() != 0:
            pytest.skip("only root can give files away")
        other.write_bytes(b"secret")
        os.chown(other, BOB, BOB)
    directory = open_home(home)
    swapping = Swapping(directory.fd, home, os.fstat(directory.fd))
    swapping.swap_after_look(monkeypatch, "x.json", "other")

    with refused(expected):
        swapping.open("x.json", largest_bytes=LARGEST)
    directory.close()


def test_another_inode_than_the_scan_saw_is_called_replaced(home: Path) -> None:
    (home / "x.json").write_bytes(b"{}")
    (home / "y").write_bytes(b"{}")
    with open_home(home) as directory:
        seen = next(e for e in directory.scan(largest_bytes=LARGEST) if e.name == "x.json")
        (home / "y").rename(home / "x.json")

        with refused(Reason.REPLACED):
            directory.open("x.json", largest_bytes=LARGEST, seen=seen)


def test_a_directory_swapped_while_it_is_open_stays_the_one_that_was_checked(
    home: Path, tmp_path: Path
) -> None:
    (home / "sessions").mkdir()
    (home / "sessions" / "x.json").write_bytes(b"mine")
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil" / "x.json").write_bytes(b"theirs")
    with open_home(home) as root, root.folder("sessions") as sessions:
        (home / "sessions").rename(home / "old")
        (home / "sessions").symlink_to(tmp_path / "evil")

        fd = sessions.open("x.json", largest_bytes=LARGEST)

        assert read_checked(fd, largest_bytes=LARGEST) == b"mine"
        os.close(fd)
        assert not sessions.is_current()
        with refused(Reason.IS_LINK):
            root.folder("sessions")


def test_a_home_that_was_removed_and_made_again_is_another_one(home: Path) -> None:
    with open_home(home) as directory:
        assert directory.is_current()
        home.rename(home.with_name("moved"))
        assert not directory.is_current()
        home.mkdir()
        assert not directory.is_current()


def test_links_that_an_operator_laid_above_the_home_are_followed(
    home: Path, tmp_path: Path
) -> None:
    (home / "x.json").write_bytes(b"{}")
    (tmp_path / "relative").symlink_to("home")
    (tmp_path / "absolute").symlink_to(tmp_path)

    assert take(tmp_path / "relative", "x.json") == b"{}"
    assert take(tmp_path / "absolute" / "home", "x.json") == b"{}"
    assert take(tmp_path / "absolute" / ".." / tmp_path.name / "home", "x.json") == b"{}"


@needs_root
def test_a_link_that_a_user_laid_to_another_users_home_is_refused(
    home: Path, tmp_path: Path
) -> None:
    os.chown(home, BOB, BOB)
    as_home = tmp_path / "alice-home"
    as_home.symlink_to(home)
    os.chown(as_home, ALICE, ALICE, follow_symlinks=False)
    (tmp_path / "root-link").symlink_to(as_home)  # an operator's link, through hers

    with refused(Reason.FOREIGN_OWNER):
        open_home(as_home)
    with refused(Reason.FOREIGN_OWNER):
        open_home(tmp_path / "root-link")


@needs_root
def test_a_link_that_a_user_laid_to_a_directory_of_theirs_is_followed(
    home: Path, tmp_path: Path
) -> None:
    os.chown(home, ALICE, ALICE)
    link = tmp_path / "link"
    link.symlink_to(home)
    os.chown(link, ALICE, ALICE, follow_symlinks=False)

    with open_home(link) as directory:
        assert directory.owner_uid == ALICE


def test_a_home_that_is_a_loop_of_links_or_a_file_is_refused(home: Path, tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    (home / "x").write_bytes(b"")

    with refused(Reason.IS_LINK):
        open_home(tmp_path / "a")
    with refused(Reason.NOT_DIRECTORY):
        open_home(home / "x")


def test_a_directory_that_cannot_be_listed_is_an_error_and_not_an_empty_one(home: Path) -> None:
    directory = open_home(home)
    home.rmdir()
    try:
        with refused(Reason.VANISHED):
            list(directory.scan(largest_bytes=LARGEST))
    finally:
        directory.close()


def test_two_scans_at_once_each_see_everything(home: Path) -> None:
    names = {f"{n}.json" for n in range(50)}
    for name in names:
        (home / name).write_bytes(b"")
    with open_home(home) as directory:
        first, second = (directory.scan(largest_bytes=LARGEST) for _ in range(2))
        pairs = list(zip(first, second, strict=True))

    assert {a.name for a, _ in pairs} == {b.name for _, b in pairs} == names


def test_a_scan_left_halfway_leaves_no_descriptor_open(home: Path) -> None:
    for n in range(5):
        (home / f"{n}.json").write_bytes(b"")
    with open_home(home) as directory:
        before = open_descriptors()
        scan = directory.scan(largest_bytes=LARGEST)
        next(scan)
        scan.close()
        assert open_descriptors() == before


def test_a_scan_says_what_will_be_refused_without_opening_anything(home: Path) -> None:
    (home / "good.json").write_bytes(b"{}")
    (home / "link.json").symlink_to("good.json")
    (home / "folder").mkdir()
    os.mkfifo(home / "fifo")
    (home / "twice").write_bytes(b"")
    os.link(home / "twice", home / "twice2")
    (home / "large").write_bytes(b"x" * 100)

    with open_home(home) as directory:
        seen = {entry.name: entry for entry in directory.scan(largest_bytes=99)}

    assert {name: entry.refusal for name, entry in seen.items()} == {
        "good.json": None,
        "link.json": Reason.IS_LINK,
        "folder": Reason.NOT_REGULAR,
        "fifo": Reason.NOT_REGULAR,
        "twice": Reason.SEVERAL_LINKS,
        "twice2": Reason.SEVERAL_LINKS,
        "large": Reason.TOO_LARGE,
    }
    assert seen["folder"].is_directory
    assert seen["good.json"].size_bytes == 2
    assert seen["good.json"].inode == (home / "good.json").stat().st_ino


def test_a_file_without_a_name_left_has_vanished(home: Path) -> None:
    (home / "x").write_bytes(b"")
    fd = os.open(home / "x", os.O_RDONLY)
    (home / "x").unlink()

    reason = judge(os.fstat(fd), owner_uid=os.geteuid(), largest_bytes=1)

    os.close(fd)
    assert reason is Reason.VANISHED


def test_every_reason_has_words_and_a_code_that_can_be_counted() -> None:
    for reason in Reason:
        assert reason.words
        assert reason.value == reason.name.lower()


@pytest.mark.slow
def test_a_look_at_an_unchanged_file_costs_a_few_microseconds(home: Path) -> None:
    files_there = 10_000
    for n in range(files_there):
        (home / f"session_{n}.json").write_bytes(b"")
    with open_home(home) as directory:
        costs = []
        for _ in range(5):
            began = time.process_time()
            assert sum(1 for _ in directory.scan(largest_bytes=LARGEST)) == files_there
            costs.append((time.process_time() - began) / files_there * 1e6)
        raw = []
        for _ in range(5):
            began = time.process_time()
            with os.scandir(home) as names:
                for name in names:
                    name.stat(follow_symlinks=False)
            raw.append((time.process_time() - began) / files_there * 1e6)

    said = f"scan {min(costs):.2f} us a file, bare scandir and stat {min(raw):.2f} us"
    assert min(costs) < 3 * min(raw), said
