"""Directory events: one thread for any number of folders, a queue an owner, and a storm that costs little."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import eventually
from timmyd.service.hints import NAMES_MOST, Hints
from timmyd.service.inotify import Inotify
from timmyd.service.observer import Watcher

QUEUED = Path("/proc/sys/fs/inotify/max_queued_events")


@pytest.fixture
def watcher() -> Iterator[Watcher]:
    made = Watcher(Hints())
    yield made
    made.stop()


def names(hints: Hints) -> set[str]:
    return {os.fsdecode(path).rpartition("/")[2] for path in hints.take(0.05)}


def seen(hints: Hints, *wanted: str) -> set[str]:
    found: set[str] = set()

    def all_there() -> bool:
        found.update(names(hints))
        return found >= set(wanted)

    eventually(all_there)
    return found


def test_what_is_made_written_and_renamed_is_hinted_at_and_what_is_temporary_is_not(
    tmp_path: Path, watcher: Watcher
) -> None:
    assert watcher.start([tmp_path])
    (tmp_path / "a.json").write_text("{}")
    (tmp_path / ".hidden").write_text("{}")
    (tmp_path / "b.json.tmp").write_text("{}")
    (tmp_path / "b.json.tmp").rename(tmp_path / "b.json")
    assert seen(watcher.hints, "a.json", "b.json") == {"a.json", "b.json"}


def test_any_number_of_folders_takes_one_thread(tmp_path: Path, watcher: Watcher) -> None:
    folders = [tmp_path / str(n) for n in range(300)]
    for folder in folders:
        folder.mkdir()
    before = threading.active_count()
    assert watcher.start(folders)
    assert threading.active_count() == before + 1
    (folders[250] / "x.json").touch()
    seen(watcher.hints, "x.json")
    watcher.unwatch(folders[250])
    (folders[250] / "y.json").touch()
    (folders[251] / "z.json").touch()
    assert "y.json" not in seen(watcher.hints, "z.json")


def test_a_folder_that_was_replaced_is_watched_again(tmp_path: Path, watcher: Watcher) -> None:
    folder = tmp_path / "sessions"
    folder.mkdir()
    assert watcher.start([folder])
    folder.rename(tmp_path / "old")
    folder.mkdir()
    assert watcher.watch(folder)
    (folder / "new.json").touch()
    seen(watcher.hints, "new.json")


def test_a_watcher_that_is_stopped_can_be_started_again(tmp_path: Path, watcher: Watcher) -> None:
    for _ in range(3):
        assert watcher.start([tmp_path])
        assert watcher.alive
        watcher.stop()
        assert not watcher.alive


def test_where_there_is_no_room_nothing_is_watched(
    tmp_path: Path, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_self: Inotify, _folder: bytes) -> None:
        raise OSError(28, "no space")

    monkeypatch.setattr(Inotify, "add", full)
    assert not watcher.start([tmp_path])
    assert not watcher.alive


def test_a_folder_that_is_gone_meanwhile_stops_no_other(tmp_path: Path, watcher: Watcher) -> None:
    assert watcher.start([tmp_path / "gone", tmp_path])
    (tmp_path / "a.json").touch()
    seen(watcher.hints, "a.json")


def test_where_the_kernel_lost_events_the_whole_folder_is_hinted_at(tmp_path: Path) -> None:
    queue = Inotify()
    queue.add(os.fsencode(tmp_path))
    for _ in range(int(QUEUED.read_text()) // 2 + 100):
        for name in "ab":
            os.close(os.open(tmp_path / name, os.O_CREAT | os.O_WRONLY))
    found: set[bytes] = set()
    while events := queue.read().paths:
        found |= events
    assert os.fsencode(tmp_path) + b"/" in found
    queue.close()


def test_a_storm_of_names_becomes_a_hint_at_their_folder() -> None:
    hints = Hints()
    for n in range(100_000):
        hints.put(b"/storm/%d" % n)
        hints.put(b"/calm/one")
    assert set(hints.take(0.0)) == {b"/storm/", b"/calm/one"}
    for n in range(NAMES_MOST):
        hints.put(b"/storm/%d" % n)
    assert len(hints.take(0.0)) == NAMES_MOST
    assert hints.take(0.0) == []
