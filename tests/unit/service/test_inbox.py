"""What waits to be read: hints and scans find it, live files first, then the newest."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from timmyd.clock import Clock, monotonic
from timmyd.service.homes import Place, house_of_profile
from timmyd.service.inbox import Inbox
from timmyd.service.looks import Looks
from timmyd.service.queues import Waiting

LARGEST = 1 << 20


@pytest.fixture
def sessions(tmp_path: Path) -> Path:
    folder = tmp_path / "sessions"
    (folder / "timmy").mkdir(parents=True)
    return folder


def open_inbox(
    root: Path, *, settle_s: float = 0.0, is_home: bool = False, steady: Clock = monotonic
) -> Inbox:
    found = Inbox(
        [Place(root, is_home=is_home)],
        Looks({}),
        largest_bytes=LARGEST,
        settle_s=settle_s,
        steady=steady,
    )
    found.find_folders()
    return found


@pytest.fixture
def inbox(sessions: Path) -> Iterator[Inbox]:
    found = open_inbox(sessions)
    yield found
    found.close()


def put(path: Path, at: float = 1_000.0, size: int = 2) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    os.utime(path, (at, at))
    return path


def hint(inbox: Inbox, *paths: Path) -> None:
    for path in paths:
        inbox.hints.put(os.fsencode(path))
    inbox.take_hints(0.0)


def names(inbox: Inbox) -> list[str]:
    """Read all that waits, as the reader does."""
    found = []
    while (waiting := inbox.next()) is not None:
        inbox.was_read(waiting)
        found.append(waiting.entry.name)
    return found


def test_a_hint_leads_to_its_file_and_to_whose_it_is(inbox: Inbox, sessions: Path) -> None:
    hint(inbox, put(sessions / "session_1.json"), put(sessions / "timmy" / "a.jsonl"))

    found: list[Waiting] = [w for _ in range(2) if (w := inbox.next()) is not None]

    assert [(w.source, w.entry.name, w.folder.house) for w in found] == [
        ("snapshot", "session_1.json", "timmy"),
        ("telemetry", "a.jsonl", "timmy"),
    ]
    assert found[0].path == os.fsencode(sessions / "session_1.json")


def test_hints_of_one_file_are_one_reading(inbox: Inbox, sessions: Path) -> None:
    path = put(sessions / "session_1.json")

    hint(inbox, path, path, path)

    assert inbox.backlog == 1
    assert names(inbox) == ["session_1.json"]
    hint(inbox, path)
    assert inbox.backlog == 0


def test_a_hint_at_anything_else_is_no_file(inbox: Inbox, sessions: Path, tmp_path: Path) -> None:
    hint(
        inbox,
        sessions / "gone.json",
        put(tmp_path / "elsewhere" / "session_1.json"),
        sessions / "timmy",
        Path("/"),
        Path("no_folder"),
    )

    assert inbox.backlog == 0
    assert inbox.ignored == 0


def test_ignored_names_are_counted_as_files_however_often_they_are_hinted_at(
    inbox: Inbox, sessions: Path
) -> None:
    ignored = ["sessions.json", "request_dump_1.json", ".hidden.json", "a.json.tmp", "a.txt"]
    paths = [put(sessions / name) for name in ignored]
    put(sessions / "session_1.json")
    inbox.scan(trusted=False)

    hint(inbox, *paths, *paths)
    inbox.scan(trusted=True)

    assert inbox.ignored == len(ignored)
    assert names(inbox) == ["session_1.json"]


def test_a_refused_file_is_known_with_its_reason_until_it_is_right(
    inbox: Inbox, sessions: Path
) -> None:
    path = put(sessions / "session_1.json", size=LARGEST + 1)
    inbox.scan(trusted=False)
    assert [refusal.code for refusal in inbox.refused.values()] == ["too_large"]
    assert names(inbox) == []

    hint(inbox, put(path, at=2_000.0))

    assert inbox.refused == {}
    assert names(inbox) == ["session_1.json"]


def test_the_backlog_is_read_newest_first_and_live_files_before_it(
    inbox: Inbox, sessions: Path
) -> None:
    for number, at in enumerate([3_000.0, 1_000.0, 4_000.0, 2_000.0]):
        put(sessions / f"session_{number}.json", at)
    assert inbox.scan(trusted=False) == 4
    assert inbox.due_in_s() == 0.0
    hint(inbox, put(sessions / "session_live.json", 500.0))

    assert names(inbox) == ["session_live.json", *(f"session_{n}.json" for n in (2, 0, 3, 1))]
    assert inbox.due_in_s() is None


def test_a_scan_queues_a_file_once_and_one_that_was_read_only_if_it_changed(
    inbox: Inbox, sessions: Path
) -> None:
    path = put(sessions / "session_1.json")
    assert [inbox.scan(trusted=False) for _ in range(3)] == [1, 0, 0]
    assert names(inbox) == ["session_1.json"]
    assert inbox.scan(trusted=False) == 0

    put(path, at=1_001.0)
    assert inbox.scan(trusted=False) == 1


def test_a_file_of_the_backlog_that_was_read_live_is_not_read_again(
    inbox: Inbox, sessions: Path
) -> None:
    path = put(sessions / "session_1.json")
    inbox.scan(trusted=False)
    hint(inbox, path)

    assert names(inbox) == ["session_1.json"]


def test_a_file_of_the_backlog_that_went_or_changed_is_taken_as_it_is_when_its_turn_comes(
    inbox: Inbox, sessions: Path
) -> None:
    gone, grown = (
        put(sessions / "session_1.json", 1_000.0),
        put(sessions / "session_2.json", 2_000.0),
    )
    inbox.scan(trusted=False)
    gone.unlink()
    put(grown, 3_000.0)

    waiting = inbox.next()

    assert waiting is not None
    assert waiting.entry.mtime_ns == 3_000 * 10**9
    inbox.was_read(waiting)
    assert inbox.next() is None
    assert inbox.scan(trusted=False) == 0


def test_a_refusal_is_told_once_after_each_look(inbox: Inbox, sessions: Path) -> None:
    (sessions / "session_1.json").symlink_to("/etc/passwd")
    inbox.scan(trusted=False)
    key = os.fsencode(sessions / "session_1.json")

    assert list(inbox.new_refusals()) == [key]
    assert list(inbox.new_refusals()) == []
    assert list(inbox.refused) == [key]
    inbox.scan(trusted=False)
    assert list(inbox.new_refusals()) == [key]


def test_rest_forgets_no_file_that_was_read(inbox: Inbox, sessions: Path) -> None:
    put(sessions / "session_1.json")
    inbox.scan(trusted=False)
    assert names(inbox) == ["session_1.json"]

    inbox.rest()

    assert inbox.scan(trusted=False) == 0


def test_a_trusted_scan_looks_again_only_at_what_changed_and_every_tenth_time_at_all(
    inbox: Inbox, sessions: Path
) -> None:
    path = put(sessions / "session_1.json")
    inbox.scan(trusted=True)
    names(inbox)
    put(path, at=1_001.0)  # appended to in place: the directory did not change, and no event came

    found = [inbox.scan(trusted=True) for _ in range(12)]

    assert sum(found) == 1
    assert found.index(1) == 9


def test_a_directory_that_was_replaced_is_found_and_scanned_anew(
    inbox: Inbox, sessions: Path
) -> None:
    put(sessions / "session_1.json")
    inbox.scan(trusted=False)
    names(inbox)
    shutil.move(sessions, sessions.with_name("old"))
    put(sessions / "session_2.json")

    changed = inbox.find_folders()
    inbox.scan(trusted=True)

    assert sessions in {folder.path for folder in changed}
    assert names(inbox) == ["session_2.json"]
    hint(inbox, put(sessions / "session_3.json"))
    assert names(inbox) == ["session_3.json"]


def test_a_directory_that_is_removed_and_comes_again_is_found_again(
    inbox: Inbox, sessions: Path
) -> None:
    shutil.rmtree(sessions)
    assert {folder.path for folder in inbox.find_folders()} == {sessions, sessions / "timmy"}
    assert inbox.find_folders() == []
    inbox.scan(trusted=False)
    assert all(folder.refusal is not None for folder in inbox.folders.values())

    put(sessions / "session_1.json")
    inbox.find_folders()
    inbox.scan(trusted=True)

    assert names(inbox) == ["session_1.json"]


def test_a_file_that_settles_is_read_again_at_most_once_in_that_time(sessions: Path) -> None:
    clock = [100.0]
    inbox = open_inbox(sessions, settle_s=0.25, steady=lambda: clock[0])
    busy, calm = sessions / "session_1.json", sessions / "session_2.json"
    hint(inbox, put(busy, 1.0))
    assert names(inbox) == ["session_1.json"]

    clock[0] += 0.1
    hint(inbox, put(busy, 2.0), put(calm, 2.0))
    assert names(inbox) == ["session_2.json"]
    assert inbox.due_in_s() == pytest.approx(0.15)

    clock[0] += 0.15
    assert inbox.due_in_s() == pytest.approx(0.0, abs=1e-9)
    clock[0] += 0.001
    assert names(inbox) == ["session_1.json"]
    inbox.close()


def test_a_file_that_could_not_be_recorded_waits_again(inbox: Inbox, sessions: Path) -> None:
    put(sessions / "session_1.json")
    inbox.scan(trusted=False)
    waiting = inbox.next()
    assert waiting is not None

    inbox.put_back(waiting)

    assert inbox.backlog == 1
    assert names(inbox) == ["session_1.json"]


def test_a_home_and_its_profiles_are_houses_as_they_appear(tmp_path: Path) -> None:
    root = tmp_path / "home"
    put(root / "sessions" / "session_1.json")
    put(root / "profiles" / "Ezra" / "sessions" / "session_2.json")
    put(root / "profiles" / "no house!" / "sessions" / "session_3.json")
    inbox = open_inbox(root, is_home=True)
    inbox.scan(trusted=False)
    first = {(w.entry.name, w.folder.house) for _ in range(3) if (w := inbox.next()) is not None}
    assert first == {("session_1.json", "timmy"), ("session_2.json", "ezra")}

    put(root / "profiles" / "new" / "sessions" / "session_4.json")
    inbox.find_folders()
    inbox.scan(trusted=True)

    waiting = inbox.next()
    assert waiting is not None
    assert (waiting.folder.house, waiting.folder.home) == ("new", root / "profiles" / "new")
    inbox.close()


@pytest.mark.parametrize(
    ("name", "house"),
    [
        ("Ezra", "ezra"),
        ("a_b-1", "a_b-1"),
        ("", None),
        ("a b", None),
        ("é", None),
        ("x" * 33, None),
    ],
)
def test_a_profile_is_a_house_if_its_name_can_be_one(name: str, house: str | None) -> None:
    assert house_of_profile(name) == house


def test_looks_that_do_not_fit_the_ledger_are_the_same_look_each_time(
    inbox: Inbox, sessions: Path
) -> None:
    put(sessions / "session_1.json", at=-5_000.0)
    inbox.scan(trusted=False)

    assert names(inbox) == ["session_1.json"]
    assert inbox.scan(trusted=False) == 0
