"""Whether the directories that lead to sessions are still the ones that were entered."""

import os
from pathlib import Path

import pytest

from timmyd.service.frame import Frame
from timmyd.service.homes import Place
from timmyd.service.inbox import Inbox
from timmyd.service.looks import Looks


class World:
    """A home, what is known of it, and the frame of that."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.frame = Frame()
        self.inbox = Inbox([Place(root)], Looks({}), largest_bytes=1 << 20, settle_s=0.0)

    def enter(self) -> None:
        """Twice, as the loop does where the first time found new directories."""
        for _ in range(2):
            self.frame.note(self.inbox.places, self.inbox.folders.values())
            self.inbox.find_folders()


@pytest.fixture
def world(tmp_path: Path) -> World:
    root = tmp_path / "home"
    (root / "sessions").mkdir(parents=True)
    (root / "profiles" / "ezra" / "sessions").mkdir(parents=True)
    os.utime(root / "profiles", (1.0, 1.0))  # the clock of a file system is coarse
    made = World(root)
    made.enter()
    return made


def test_nothing_is_known_before_the_first_look() -> None:
    assert Frame().has_changed()


def test_what_happens_inside_the_directories_changes_no_frame(world: World) -> None:
    (world.root / "sessions" / "session_1.json").write_text("{}")
    (world.root / "profiles" / "ezra" / "sessions" / "session_1.json").write_text("{}")
    (world.root / "state.db-wal").write_text("")

    assert not world.frame.has_changed()


@pytest.mark.parametrize(
    "appears", ["sessions/timmy", "profiles/bezalel", "profiles/ezra/sessions/timmy"]
)
def test_a_directory_that_appears_is_a_change_once(world: World, appears: str) -> None:
    (world.root / appears).mkdir()

    assert world.frame.has_changed()
    world.enter()
    assert not world.frame.has_changed()


@pytest.mark.parametrize("goes", ["sessions", "profiles/ezra", "profiles", ""])
def test_a_directory_that_goes_or_is_replaced_is_a_change(world: World, goes: str) -> None:
    gone = world.root / goes
    gone.rename(world.root.with_name("elsewhere"))

    assert world.frame.has_changed()
    world.enter()
    assert not world.frame.has_changed()
    gone.mkdir()
    assert world.frame.has_changed()


def test_a_home_that_comes_late_is_a_change(tmp_path: Path) -> None:
    world = World(tmp_path / "late")
    world.enter()
    assert not world.frame.has_changed()

    world.root.mkdir()

    assert world.frame.has_changed()


def test_a_mode_that_was_changed_is_a_change(world: World) -> None:
    (world.root / "sessions").chmod(0o700)

    assert world.frame.has_changed()


def test_a_frame_that_was_forgotten_has_changed(world: World) -> None:
    world.frame.forget()

    assert world.frame.has_changed()
