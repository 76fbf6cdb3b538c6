"""What one owner may use: turns, files, profiles, queues; the other owner does not notice, the operator does."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from timmyd.service import queues
from timmyd.service.homes import Place
from timmyd.service.inbox import Inbox
from timmyd.service.looks import Looks, look_of
from timmyd.service.quotas import Quotas

ALICE, BOB = 4242, 4343

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to other users")


class Homes:
    """Two homes of two owners, and an inbox over them."""

    def __init__(self, base: Path, quotas: Quotas) -> None:
        self.base = base
        self.now = 100.0
        for name, uid in (("alice", ALICE), ("bob", BOB)):
            folder = base / name / "sessions" / "timmy"
            folder.mkdir(parents=True)
            for path in (folder, folder.parent, base / name):
                os.chown(path, uid, uid)
        self.inbox = Inbox(
            [Place(base / "alice", "ezra"), Place(base / "bob", "bezalel")],
            Looks(),
            largest_bytes=1 << 20,
            settle_s=0.0,
            steady=lambda: self.now,
            quotas=quotas,
        )
        self.inbox.find_folders()

    def put(self, name: str, owner: int, at: float = 1_000.0) -> Path:
        path = self.base / name
        path.write_bytes(b"{}")
        os.chown(path, owner, owner)
        os.utime(path, (at, at))
        return path

    def read(self, most: int = 1_000_000, cost_s: float = 0.01) -> list[str]:
        found: list[str] = []
        while len(found) < most and (waiting := self.inbox.next()) is not None:
            self.inbox.worked(waiting, cost_s)
            self.inbox.was_read(waiting)
            found.append(waiting.entry.name)
        return found


@pytest.fixture
def homes(tmp_path: Path) -> Iterator[Homes]:
    found = Homes(tmp_path, Quotas(2_000, 300, 5))
    yield found
    found.inbox.close()


def test_a_backlog_of_one_owner_keeps_no_other_waiting(homes: Homes) -> None:
    for n in range(200):
        homes.put(f"alice/sessions/a{n}.json", ALICE, at=5_000.0 + n)
    homes.inbox.scan(trusted=False)
    assert len(homes.read(50)) == 50
    live = homes.put("bob/sessions/b.json", BOB)
    homes.inbox.hints.put(os.fsencode(live))
    homes.inbox.take_hints(0.0)
    assert homes.read(1) == ["b.json"]
    for n in range(20):
        homes.put(f"bob/sessions/b{n}.json", BOB)
    homes.inbox.scan(trusted=False)
    turns = homes.read(40)
    assert 18 <= sum(name.startswith("b") for name in turns) <= 20
    assert len(homes.read()) == 200 + 20 - 50 - 40


def test_a_scan_goes_on_in_slices_and_owners_take_turns_in_it(homes: Homes) -> None:
    for n in range(290):
        homes.put(f"alice/sessions/a{n}.json", ALICE)
    homes.put("bob/sessions/b.json", BOB)
    ticks = iter(range(1_000_000))
    homes.inbox._steady = lambda: float(next(ticks))  # noqa: SLF001 - each look at the clock takes a second
    homes.inbox.begin_scan(trusted=False)
    slices = 1
    while not homes.inbox.scan_on(1.0):
        slices += 1
        assert homes.inbox.is_scanning
        if slices == 3:
            assert "b.json" in homes.read()
    assert slices > 4
    assert not homes.inbox.is_scanning


def test_more_files_than_the_quota_are_not_looked_at_and_it_is_told_whose(homes: Homes) -> None:
    for n in range(400):
        homes.put(f"alice/sessions/a{n}.json", ALICE)
    homes.put("bob/sessions/b.json", BOB)
    homes.inbox.scan(trusted=False)
    found = homes.read()
    assert len(found) == 301
    assert "b.json" in found
    assert homes.inbox.reached.told() == [{"owner": str(ALICE), "house": "ezra", "limit": "files"}]


def test_more_profiles_than_the_quota_are_not_looked_at(homes: Homes) -> None:
    for n in range(9):
        folder = homes.base / "alice" / "profiles" / f"p{n}" / "sessions"
        folder.mkdir(parents=True)
        for path in (folder, folder.parent, folder.parent.parent):
            os.chown(path, ALICE, ALICE)
    homes.inbox.find_folders()
    houses = {folder.house for folder in homes.inbox.folders.values()}
    assert houses == {"ezra", "bezalel", "p0", "p1", "p2", "p3", "p4"}
    assert homes.inbox.reached.told()[0]["limit"] == "profiles"


def test_a_queue_holds_the_newest_and_the_rest_is_looked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queues, "BACKLOG_MOST", 50)
    homes = Homes(tmp_path, Quotas.none())
    for n in range(260):
        homes.put(f"alice/sessions/a{n:03}.json", ALICE, at=5_000.0 + n)
    found: list[str] = []
    for _ in range(10):
        homes.inbox.scan(trusted=True)
        assert homes.inbox.backlog <= 100
        found += homes.read()
    assert sorted(found) == [f"a{n:03}.json" for n in range(260)]
    assert found[0] == "a259.json"
    homes.inbox.close()


def test_a_storm_of_live_files_becomes_a_scan(
    homes: Homes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queues, "LIVE_MOST", 10)
    for n in range(30):
        homes.inbox.hints.put(os.fsencode(homes.put(f"alice/sessions/a{n}.json", ALICE)))
    homes.inbox.take_hints(0.0)
    assert homes.inbox.backlog == 10
    assert homes.inbox.events_lost
    homes.inbox.scan(trusted=True)
    assert len(set(homes.read())) == 30


def test_looks_are_remembered_by_the_hundred_thousand(homes: Homes) -> None:
    homes.put("bob/sessions/b.json", BOB)
    homes.inbox.scan(trusted=False)
    waiting = homes.inbox.next()
    assert waiting is not None
    look = look_of(waiting.entry)
    looks = Looks((b"/home/a/%d" % n, (1, n, 2, 3)) for n in range(100_000))
    assert len(looks) == 100_000
    assert not any(looks.is_new(b"/home/a/%d" % n, (1, n, 2, 3)) for n in range(0, 100_000, 7))
    assert all(looks.is_new(b"/home/a/%d" % n, (1, n, 2, 4)) for n in range(0, 100_000, 7))
    assert looks.is_new(b"/home/b/1", look)
    looks.note(b"/home/b/1", look)
    assert not looks.is_new(b"/home/b/1", look)
