"""The real loop over real files and a real database, but for its clocks: hours pass in a moment, nothing sleeps."""

import itertools
import json
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support import Listener, without_roots_powers
from timmyd.config import Settings
from timmyd.config.settings import Files, Schedule
from timmyd.core.clock_trust import ClockReading
from timmyd.engine import IntelligenceEngine
from timmyd.errors import ConfigError, Problem, PublishError, StoreError
from timmyd.house.policy import at_from_iso
from timmyd.service.hints import Hints
from timmyd.service.homes import Place
from timmyd.service.logs import EVENTS
from timmyd.service.loop import Daemon
from timmyd.service.metrics import Metrics
from timmyd.service.observer import Watcher
from timmyd.service.outside import Outside
from timmyd.service.reckoning import Reckoning
from timmyd.service.systemd import Notifier
from timmyd.service.telling import read_status
from timmyd.store.database import PatternDatabase

NOW = 1_795_500_000.0
HOUR_S = 3600.0


class Clocks:
    """Both clocks of a machine; only waiting lets time pass."""

    def __init__(self) -> None:
        self.passed_s = 0.0
        self.set_s = 0.0

    def wall(self) -> float:
        return NOW + self.passed_s + self.set_s

    def steady(self) -> float:
        return 1_000.0 + self.passed_s

    def reading(self) -> ClockReading:
        return ClockReading(self.wall(), self.steady(), "boot")


class ScriptedHints(Hints):
    """Waits by letting time pass; what is to happen meanwhile happens in time."""

    def __init__(self, clocks: Clocks) -> None:
        super().__init__()
        self.clocks = clocks
        self.waits: list[float] = []
        self._script: list[tuple[float, Callable[[], object]]] = []

    def after(self, seconds: float, action: Callable[[], object]) -> None:
        self._script.append((self.clocks.passed_s + seconds, action))
        self._script.sort(key=lambda step: step[0])

    def take(self, timeout_s: float) -> list[bytes]:
        self.waits.append(timeout_s)
        end = self.clocks.passed_s + timeout_s
        while self._script and self._script[0][0] <= end:
            at, action = self._script.pop(0)
            self.clocks.passed_s = max(self.clocks.passed_s, at)
            action()
            if found := super().take(0.0):
                return found
        self.clocks.passed_s = end
        return super().take(0.0)


class FakeWatcher(Watcher):
    """Gets no events; can die, and can have no room."""

    has_room = True

    def __init__(self, hints: Hints) -> None:
        super().__init__(hints)
        self.is_alive = False
        self.starts = 0
        self.paths: set[Path] = set()

    @property
    def alive(self) -> bool:
        return self.is_alive

    def start(self, paths: Iterable[Path]) -> bool:
        self.starts += 1
        self.is_alive = self.has_room
        self.paths = set(paths) if self.has_room else set()
        return self.has_room

    def watch(self, path: Path) -> bool:
        self.paths.add(path)
        return self.is_alive

    def unwatch(self, path: Path) -> None:
        self.paths.discard(path)

    def stop(self) -> None:
        self.is_alive = False


class NoRoom(FakeWatcher):
    has_room = False


class HeardNotifier(Notifier):
    """Keeps what systemd would hear, and when."""

    def __init__(self, clocks: Clocks) -> None:
        super().__init__()
        self.clocks = clocks
        self.heartbeats: list[float] = []
        self.said: list[str] = []

    def watchdog(self) -> None:
        self.heartbeats.append(self.clocks.passed_s)

    def ready(self, status: str) -> None:
        self.said.append(f"READY {status}")

    def status(self, text: str) -> None:
        self.said.append(text)

    def stopping(self) -> None:
        self.said.append("STOPPING")

    def reloading(self) -> None:
        self.said.append("RELOADING")


class Rig:
    """A daemon, its home, and all that it hears and says."""

    def __init__(self, base: Path, *, watcher: type[FakeWatcher] = FakeWatcher) -> None:
        self.home = base / "home"
        self.sessions = self.home / "sessions"
        self.place = Place(self.home, sources=frozenset({"telemetry", "snapshot", "session"}))
        self.state = base / "state"
        self.clocks = Clocks()
        self.hints = ScriptedHints(self.clocks)
        self.log = Listener()
        self.notifier = HeardNotifier(self.clocks)
        self.settings: Settings | ConfigError = Settings()
        self.database = PatternDatabase(base / "state" / "db" / "timmy.db", clock=self.clocks.wall)
        self.reckoning = Reckoning.begin(
            self.database, [self.place], read=self.clocks.reading, synchronised=lambda _: False
        )
        self.engine = IntelligenceEngine(self.database, settings=Settings(), clock=self.reckoning)
        self.daemon = Daemon(
            Settings(),
            [self.place],
            state=self.state,
            engine=self.engine,
            outside=Outside(
                self.log,
                Metrics("test"),
                self.reckoning,
                self.clocks.steady,
                wall=self.reckoning.wall,
                trust=self.reckoning.held,
            ),
            notifier=self.notifier,
            reload=self.reload,
            hints=self.hints,
            watcher=watcher,
        )

    @property
    def watcher(self) -> FakeWatcher:
        found = self.daemon.lookout.watcher
        assert isinstance(found, FakeWatcher)
        return found

    def reload(self) -> tuple[Settings, list[Place]]:
        if isinstance(self.settings, ConfigError):
            raise self.settings
        return self.settings, [self.place]

    def write(self, name: str, *tools: str, hint: bool = True) -> None:
        self.sessions.mkdir(parents=True, exist_ok=True)
        calls = [{"role": "tool", "name": t, "tool_call_id": f"c{n}"} for n, t in enumerate(tools)]
        path = self.sessions / f"{name}.json"
        path.write_text(
            json.dumps({"session_id": name, "started_at": self.clocks.wall(), "messages": calls})
        )
        os.utime(path, (self.clocks.wall(), self.clocks.wall()))
        if hint:
            self.hints.put(bytes(path))

    def fail(self, name: str, tool: str, count: int) -> None:
        """A session of so many calls that failed, each with a time of its own."""
        calls = [
            {
                "role": "tool", "name": tool, "tool_call_id": f"{name}{n}",
                "content": json.dumps({"output": "", "exit_code": 2, "error": None}),
            }
            for n in range(count)
        ]  # fmt: skip
        path = self.sessions / f"{name}.json"
        document = {"session_id": name, "started_at": self.clocks.wall(), "messages": calls}
        path.write_text(json.dumps(document))
        os.utime(path, (self.clocks.wall(), self.clocks.wall()))
        self.hints.put(bytes(path))

    def live(self, seconds: float, *, turns_a_s: float = 4.0) -> int:
        """Let so much time pass; returns how many turns that took."""
        end = self.clocks.passed_s + seconds
        turns = 0
        while self.clocks.passed_s < end:
            self.daemon.turn()
            turns += 1
            assert turns < turns_a_s * seconds + 100, "the loop spins"
        return turns

    def counted(self) -> int:
        return self.database.counters().get("executions", 0)

    def policy(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.state / "policy.json").read_bytes())
        return found

    def close(self) -> None:
        self.daemon.intake.close()
        self.database.close()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    made.sessions.mkdir(parents=True)
    yield made
    made.close()


def test_it_is_ready_before_it_reads_and_then_reads_what_is_there(rig: Rig) -> None:
    for number in range(5):
        rig.write(f"s{number}", "terminal", "read_file", hint=False)
    rig.daemon.start()
    assert rig.notifier.said[0] == "READY revision 1, 5 files waiting"
    assert rig.counted() == 0
    rig.live(1.0)
    assert rig.counted() == 10
    assert rig.daemon.status()["backlog"] == 0


def test_a_file_that_is_hinted_at_is_counted_in_that_turn_and_decided_on_within_a_second(
    rig: Rig,
) -> None:
    rig.daemon.start()
    rig.live(30.0)
    ticks = len(rig.log.named("tick_done"))
    rig.hints.after(0.25, lambda: rig.write("a", "terminal"))
    rig.live(0.3)
    assert rig.counted() == 1
    rig.live(1.0)
    assert len(rig.log.named("tick_done")) > ticks


def test_an_idle_hour_is_quiet_and_every_heartbeat_is_in_time(rig: Rig) -> None:
    rig.daemon.start()
    rig.live(60.0)
    rig.log.events.clear()
    turns = rig.live(HOUR_S)
    assert turns < HOUR_S
    beats = rig.notifier.heartbeats
    assert max(b - a for a, b in itertools.pairwise(beats)) <= 10.0
    assert {name for name, _ in rig.log.events} <= {
        "tick_done",
        "scan_done",
        "policy_published",
        "store_pruned",
    }


def test_a_file_without_an_event_is_found_by_the_scan(rig: Rig) -> None:
    rig.daemon.start()
    rig.write("a", "terminal", hint=False)
    rig.live(Settings().schedule.rescan_s + 1.0)
    assert rig.counted() == 1


def test_a_home_that_comes_late_is_watched_and_one_that_goes_is_told_of(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.daemon.start()
    rig.live(5.0)
    rig.write("a", "terminal", hint=False)
    rig.live(5.0)
    assert rig.counted() == 1
    assert rig.sessions in rig.watcher.paths
    rig.sessions.rename(tmp_path / "away")
    rig.live(5.0)
    assert rig.sessions not in rig.watcher.paths
    assert [e["file"] for e in rig.log.named("directory_vanished")] == [str(rig.sessions)]
    rig.close()


def test_an_observer_that_dies_is_started_again(rig: Rig) -> None:
    rig.daemon.start()
    rig.watcher.is_alive = False
    rig.write("a", "terminal", hint=False)
    rig.live(4.0)
    assert rig.watcher.alive
    assert rig.watcher.starts == 2
    assert rig.counted() == 1


def test_without_room_for_events_directories_are_polled(tmp_path: Path) -> None:
    rig = Rig(tmp_path, watcher=NoRoom)
    rig.sessions.mkdir(parents=True)
    rig.daemon.start()
    assert rig.log.named("observer_replaced") == [{}]
    assert rig.daemon.status()["observer"] == "polling"
    rig.live(10.0)
    rig.write("a", "terminal", hint=False)
    rig.live(3.0)
    assert rig.counted() == 1
    rig.close()


def test_a_database_that_refuses_is_left_alone_for_a_second_and_nothing_is_lost(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.daemon.start()
    rig.live(2.0)
    tries: list[float] = []
    reader = rig.daemon.intake.reader
    take = reader.ingest.take

    def full(*given: Any, **options: Any) -> Any:
        tries.append(rig.clocks.passed_s)
        if len(tries) < 4:
            raise StoreError("timmy.db", "the disk is full", retry=True)
        return take(*given, **options)

    monkeypatch.setattr(reader.ingest, "take", full)
    rig.write("a", "terminal")
    rig.live(10.0)
    assert rig.counted() == 1
    assert len(tries) == 4
    assert min(b - a for a, b in itertools.pairwise(tries)) >= 1.0
    assert len(rig.log.named("store_failed")) == len(rig.log.named("store_recovered")) == 1
    assert any("in trouble: the disk is full" in text for text in rig.notifier.said)


def test_new_settings_replace_the_intake_and_wrong_ones_change_nothing(rig: Rig) -> None:
    rig.daemon.start()
    rig.write("a", "terminal")
    rig.live(2.0)
    before = rig.daemon.intake
    rig.settings = ConfigError([Problem("timmyd.toml", "is wrong")])
    rig.daemon.ask_to_reload()
    rig.live(1.0)
    assert rig.daemon.intake is before
    assert len(rig.log.named("settings_refused")) == 1

    rig.settings = Settings(schedule=Schedule(tick_s=7.0), files=Files(largest_bytes=1 << 20))
    rig.daemon.ask_to_reload()
    rig.live(1.0)
    assert rig.daemon.intake is not before
    assert all(folder.opened is None for folder in before.folders)
    rig.write("b", "terminal")
    rig.live(2.0)
    assert rig.counted() == 2
    assert [text for text in rig.notifier.said if text == "RELOADING"] == ["RELOADING"] * 2


def test_a_signal_ends_it_after_the_last_evidence_was_decided_on(rig: Rig) -> None:
    before = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]
    rig.hints.after(30.0, lambda: rig.write("a", "terminal"))
    rig.hints.after(30.1, lambda: os.kill(os.getpid(), signal.SIGTERM))
    try:
        assert rig.daemon.run() == 0
    finally:
        for number, handler in zip(
            (signal.SIGTERM, signal.SIGINT, signal.SIGHUP), before, strict=True
        ):
            signal.signal(number, handler)
    assert rig.counted() == 1
    assert rig.policy()["revision"] == rig.daemon.publisher.revision
    assert [name for name, _ in rig.log.events][-2:] == ["daemon_stopping", "daemon_stopped"]


def test_no_error_that_nobody_foresaw_is_swallowed(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(rig.engine, "analyze_and_adapt", broken)
    with pytest.raises(ZeroDivisionError):
        rig.daemon.run()
    assert rig.log.named("daemon_failed") == [{"reason": "ZeroDivisionError"}]


# ------------------------------------------------------------------- the clock
DAY_S = 86_400.0
JUMPS_S = [-DAY_S, 32 * DAY_S, 2 * 365 * DAY_S, 300.0 - NOW]


def times(rig: Rig) -> list[float]:
    """When each call ran, since the test began."""
    return [found.at - NOW for found in rig.database.executions_after(0, 1_000)]


@pytest.mark.parametrize("jump_s", JUMPS_S)
def test_a_clock_that_jumps_costs_nothing_and_what_comes_meanwhile_is_dated_again(
    rig: Rig, jump_s: float
) -> None:
    for number in range(10):
        rig.write(f"s{number}", "terminal", hint=False)
    rig.database.record_execution({"house": "ezra", "tool": "old", "at": NOW - 89 * DAY_S})
    rig.daemon.start()
    rig.live(60.0)
    assert rig.counted() == 11
    before = rig.engine.policies()

    rig.clocks.set_s = jump_s
    rig.hints.after(600.0, lambda: rig.write("wrong", "terminal", "read_file"))
    rig.live(HOUR_S)
    assert rig.counted() == 13
    assert len(times(rig)) == 13
    assert max(times(rig)) == pytest.approx(660.0, abs=30.0)
    assert rig.daemon.status()["seen_at"] == rig.clocks.wall()
    published = at_from_iso(rig.policy()["published_at"])
    assert published is not None
    assert 0.0 <= rig.clocks.wall() - published <= Settings().publish.life_s / 2

    rig.clocks.set_s = 0.0
    right_again = rig.clocks.wall()
    rig.live(15.0)
    published = at_from_iso(rig.policy()["published_at"])
    assert published is not None
    assert right_again <= published <= rig.clocks.wall()
    rig.write("right", "terminal")
    rig.live(20 * 60.0)
    assert len(times(rig)) == 14
    assert max(times(rig)) == pytest.approx(60.0 + HOUR_S, abs=60.0)
    assert [event["believed"] for event in rig.log.named("clock_jumped")] == ["no", "yes"]
    assert rig.engine.policies() == before


def test_a_clock_that_stays_where_it_jumped_is_believed_after_a_day(rig: Rig) -> None:
    rig.daemon.start()
    rig.live(60.0)
    rig.clocks.set_s = 32 * DAY_S
    rig.live(60.0)
    assert rig.reckoning() != rig.clocks.wall()
    rig.clocks.passed_s += DAY_S
    rig.live(60.0)
    assert rig.reckoning() == rig.clocks.wall()
    assert len(rig.log.named("clock_believed")) == 1


def test_breakers_go_on_while_the_clock_is_wrong(rig: Rig) -> None:
    rig.daemon.start()
    rig.write("ok", *["terminal"] * 20)
    rig.live(10.0)
    rig.clocks.set_s = 2 * 365 * DAY_S
    for number in range(6):
        rig.hints.after(5.0 + number, partial(rig.fail, f"bad{number}", "terminal", 5))
    rig.live(60.0)
    assert rig.engine.open_breakers() == 1


# ---------------------------------------------------------------- the disk
def test_recovery_is_said_when_a_write_has_worked_and_the_status_file_tells_meanwhile(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.daemon.start()
    rig.live(10.0)
    assert read_status(rig.state)["trouble"] is None

    def full(*_: object, **__: object) -> None:
        raise StoreError("timmy.db", "the disk is full", retry=True)

    with monkeypatch.context() as patch:
        patch.setattr(rig.database, "decide", full)
        rig.live(300.0)
        assert read_status(rig.state)["trouble"] == "the disk is full"
        assert len(rig.log.named("store_failed")) == 1
        assert rig.log.named("store_recovered") == []
    rig.live(5.0)
    assert len(rig.log.named("store_recovered")) == 1
    assert read_status(rig.state)["trouble"] is None


def test_the_status_file_that_cannot_be_written_shows_its_age(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.daemon.start()
    rig.live(10.0)

    def full(*_: object, **__: object) -> None:
        raise PublishError("status.json", "No space left on device")

    monkeypatch.setattr("timmyd.service.telling.publish", full)
    rig.live(600.0)
    assert rig.clocks.wall() - read_status(rig.state)["seen_at"] > 590.0


def test_an_unreadable_file_is_read_once_it_can_be_though_nothing_else_changed(rig: Rig) -> None:
    rig.write("a", "terminal", hint=False)
    path = rig.sessions / "a.json"
    path.chmod(0)
    with without_roots_powers():
        rig.daemon.start()
        rig.live(200.0)
        assert rig.counted() == 0
        failed = rig.database.files(("failed",))
        assert [row.reason for row in failed] == ["unreadable"]
        at = path.stat().st_mtime
        path.chmod(0o600)
        assert path.stat().st_mtime == at
        rig.live(11 * Settings().schedule.rescan_s)
    assert rig.counted() == 1
    assert len(rig.log.named("file_refused")) == 1


# -------------------------------------------------------------------- a busy time
def test_figures_that_change_all_the_time_are_published_every_five_seconds_and_a_burst_is_no_news(
    rig: Rig,
) -> None:
    rig.daemon.start()
    rig.live(30.0)
    rig.log.events.clear()
    for number in range(600):
        rig.hints.after(0.1 * number, partial(rig.write, f"s{number}", "terminal", "read_file"))
    rig.live(61.0, turns_a_s=25.0)
    assert rig.counted() == 1200
    assert 2 <= len(rig.log.named("policy_published")) <= 13
    loud = [name for name, _ in rig.log.events if EVENTS[name].level != "debug"]
    assert loud == []
