"""The one loop: a hint or a deadline, then read a slice | look again | tick | prune; then the heartbeat."""

import os
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from types import FrameType

import msgspec

from timmyd import __version__
from timmyd.clock import Clock, monotonic, now as wall_clock
from timmyd.config import Settings, diff, metrics_path, policy_path
from timmyd.engine import IntelligenceEngine
from timmyd.engine.ingest import Ingest
from timmyd.engine.ingest_rows import RowIngest
from timmyd.errors import ConfigError, PublishError, StoreError, TimmyError
from timmyd.service.frame import Frame
from timmyd.service.inbox import Folder, Inbox, Looks, Place
from timmyd.service.logs import EventLogger
from timmyd.service.metrics import Metrics
from timmyd.service.observer import Watcher
from timmyd.service.publisher import Publisher
from timmyd.service.reading import Progress, Reader
from timmyd.service.refusal import Reason
from timmyd.service.state_dbs import StateDbs
from timmyd.service.systemd import Notifier, watchdog_interval_s

_LOOK_FOR_FOLDERS_S = 2.0
_ENTER_FOLDERS_S = 30.0
_LATE_S = 0.9
_EVIDENCE_TICK_S = 1.0
_BACKLOG_TICK_S = 5.0
"""While a backlog is read every slice brings evidence, and little of it is news."""
_REST_S = 30.0
_REST_SOON_S = 5.0
_METRICS_S = 5.0
_METRICS_QUIET_S = 60.0
_PRUNE_S = 3600.0
_PRUNE_NEXT_S = 1.0
_RETRY_S = 1.0
_POLL_S = 2.0
_LONGEST_WAIT_S = 10.0


class Summary(msgspec.Struct, kw_only=True):
    """What `run --once` did."""

    files: int = 0
    executions: int = 0
    amended: int = 0
    failed: int = 0
    ignored: int = 0
    adaptations: int = 0
    revision: int = 0


class Deadline:
    """A moment of the monotonic clock at which something is due."""

    def __init__(self, every_s: float) -> None:
        self.every_s = every_s
        self.at = 0.0

    def is_due(self, now: float, *, early_s: float = 0.0) -> bool:
        """Whether the moment has come, or nearly and we are awake; if so the next one is set."""
        if now + early_s < self.at:
            return False
        self.at = now + self.every_s
        return True

    def soon(self, now: float, within_s: float) -> None:
        """Be due within a time, if not sooner anyway."""
        self.at = min(self.at, now + within_s)


class Daemon:
    """Owns the loop. Everything it calls is bounded, so that it is never late for its heartbeat."""

    def __init__(
        self,
        settings: Settings,
        places: Iterable[Place],
        *,
        state: Path,
        engine: IntelligenceEngine,
        log: EventLogger,
        notifier: Notifier,
        reload: Callable[[], tuple[Settings, list[Place]]],
        policy: Path | None = None,
        clock: Clock = wall_clock,
    ) -> None:
        self.settings = settings
        self.state = state
        self.engine = engine
        self.log = log
        self.notifier = notifier
        self.clock = clock
        self.metrics = Metrics(__version__)
        self.summary = Summary()
        self._policy_override = policy
        self._reload = reload
        self.publisher = Publisher(engine, self._policy_path())
        self.inbox = self._new_inbox(places)
        self.reader = self._new_reader()
        self.state_dbs = self._new_state_dbs()
        self.watcher = Watcher(self.inbox.hints)
        self.started_at = clock()
        self.ingested_at: float | None = None
        self._stopping = False
        self._reloading = False
        self._evidence = False
        self._news = True
        self._in_backlog = False
        self._is_rested = False
        self._trouble: str | None = None
        self._observer_gone = False
        self._wait_until = 0.0
        self._ticked_at = -1e9
        self._tick = Deadline(settings.schedule.tick_s)
        self._rescan = Deadline(settings.schedule.rescan_s)
        self._frame = Frame()
        self._folders = Deadline(_LOOK_FOR_FOLDERS_S)
        self._enter = Deadline(_ENTER_FOLDERS_S)
        self._prune = Deadline(_PRUNE_S)
        self._rest = Deadline(_REST_S)
        self._metrics_due = Deadline(_METRICS_S)
        self._metrics_quiet = Deadline(_METRICS_QUIET_S)
        interval = watchdog_interval_s(os.environ)
        self._heartbeat = Deadline(_LONGEST_WAIT_S if interval is None else interval / 3)

    # -------------------------------------------------------------------- running
    def run(self) -> int:
        """Work until a signal asks for the end; returns the exit status."""
        self._listen()
        self.log.event("daemon_started", version=__version__, state=str(self.state))
        self.metrics.settings(self.started_at, accepted=True)
        try:
            self._start()
            while not self._stopping:
                self._turn()
            self.notifier.stopping()
            self.log.event("daemon_stopping")
            self._last_words()
        except TimmyError:
            raise
        except Exception as error:
            self.log.event("daemon_failed", reason=type(error).__name__)
            raise
        finally:
            self.watcher.stop()
            self.inbox.close()
            self.state_dbs.close()
        self.log.event("daemon_stopped", status=0)
        return 0

    def once(self) -> Summary:
        """Take in all that is there, adapt, publish; no waiting, no watching."""
        self.inbox.find_folders()
        self.inbox.scan(trusted=False)
        self.state_dbs.find()
        try:
            while (progress := self.state_dbs.look()).files:
                self._note(progress)
                self.notifier.watchdog()
            while self.inbox.backlog:
                self._note(self.reader.read_slice())
                self.notifier.watchdog()
            while self._adapt():
                self.notifier.watchdog()
            self._publish(raising=True)
            self.engine.save()
        finally:
            self.inbox.close()
            self.state_dbs.close()
        self.summary.ignored = self.inbox.ignored
        self.summary.failed = len(self.engine.database.files(("failed",)))
        self.summary.revision = self.publisher.revision
        return self.summary

    def _start(self) -> None:
        self._find_folders()
        watching = self.watcher.start(self._open_paths())
        self.log.event("observer_started" if watching else "observer_replaced")
        self._observer_gone = not watching
        queued = self.inbox.scan(trusted=False)
        self.state_dbs.find()
        self._log_closed_folders()
        try:
            self._publish(raising=False)
        except StoreError as error:
            if not error.retry:
                raise
            self._in_trouble(error)
        self._tick.at = monotonic()
        self.notifier.ready(self._words())
        self.log.release()
        self.log.event("daemon_ready", backlog=queued, revision=self.publisher.revision)

    def _turn(self) -> None:
        """One turn of the loop: wait for a hint or a deadline, then do what is due."""
        self.inbox.take_hints(self._wait_s())
        try:
            if monotonic() >= self._wait_until:
                self._note(self.reader.read_slice())
                self._note(self.state_dbs.look())
            self._look()
            self._decide()
            self._keep_up()
            self._recovered()
        except StoreError as error:
            if not error.retry:
                raise
            self._in_trouble(error)
        if self._reloading:
            self._carry_out_reload()
        if self._heartbeat.is_due(monotonic(), early_s=self._heartbeat.every_s / 3):
            self.notifier.watchdog()

    def _wait_s(self) -> float:
        now = monotonic()
        deadlines = [self._tick, self._rescan, self._prune, self._heartbeat]
        # the look for folders rides along with what wakes us up anyway
        until = min(self._folders.at + _LATE_S, *[deadline.at for deadline in deadlines])
        if self._evidence and self.settings.schedule.on_evidence:
            until = min(until, self._ticked_at + self._evidence_tick_s)
        for due in (self.inbox.due_in_s(), self.state_dbs.due_in_s()):
            if due is not None:
                until = min(until, now + due)
        until = max(until, self._wait_until)
        if self._stopping or self._reloading:
            return 0.0
        return min(max(0.0, until - now), _LONGEST_WAIT_S)

    # ----------------------------------------------------------------------- work
    def _note(self, progress: Progress) -> None:
        if progress.files:
            self._is_rested = False
            self.ingested_at = self.clock()
            self._news = True
            self.summary.files += progress.files
            self.summary.executions += progress.executions
            self.summary.amended += progress.amended
            self._evidence = self._evidence or bool(progress.executions or progress.amended)
        waiting = self.inbox.backlog + self.state_dbs.backlog
        if waiting > 1 and not self._in_backlog:
            self._in_backlog = True
            self.log.event("backlog_started", files=waiting)
        elif not waiting and self._in_backlog:
            self._in_backlog = False
            self.log.event("backlog_done", executions=self.summary.executions)
            self._rest.soon(monotonic(), _REST_SOON_S)

    def _look(self) -> None:
        now = monotonic()
        if self._folders.is_due(now):
            self._look_for_folders()
        every = self.settings.schedule.rescan_s
        self._rescan.every_s = min(every, _POLL_S) if self._observer_gone else every
        if self._rescan.is_due(now):
            before = {path for path, f in self.inbox.folders.items() if f.refusal is not None}
            queued = self.inbox.scan(trusted=self.watcher.alive)
            for path, folder in self.inbox.folders.items():
                if folder.refusal is not None and path not in before and folder.opened is not None:
                    self.log.event("scan_failed", file=str(path), reason=folder.refusal.code)
            self.log.event("scan_done", queued=queued, ignored=self.inbox.ignored)
            self._log_refusals()
            self.metrics.scanned(self.clock(), backlog=self.inbox.backlog)

    def _log_closed_folders(self) -> None:
        """Say which directories are there and may not be read; what is not there yet is no news."""
        for path, folder in self.inbox.folders.items():
            refusal = folder.refusal
            if folder.opened is not None:
                self.reader.once.forget(path)
                continue
            if refusal is None or refusal.reason is Reason.VANISHED:
                continue
            if self.reader.once.first(path, refusal.code):
                self.log.event(
                    "directory_refused",
                    file=str(path),
                    house=folder.house,
                    reason=refusal.code,
                    detail=refusal.detail,
                )

    def _look_for_folders(self) -> None:
        self.engine.database.check_in_place()
        self._log_refusals()
        if not self.watcher.alive and not self._observer_gone:
            self.log.event("observer_restarted")
            self._observer_gone = not self.watcher.start(self._open_paths())
            self._rescan.soon(monotonic(), 0.0)
        if not self._enter.is_due(monotonic()) and not self._frame.has_changed():
            return
        self.state_dbs.find()
        for folder in self._find_folders():
            if folder.opened is None:
                self.watcher.unwatch(folder.path)
                self.log.event("directory_vanished", file=str(folder.path), house=folder.house)
                continue
            self.log.event("directory_appeared", file=str(folder.path), house=folder.house)
            if not self._observer_gone and not self.watcher.watch(folder.path):
                self._observer_gone = not self.watcher.alive
                self.log.event("observer_replaced")
            self._rescan.soon(monotonic(), 0.0)
        self._log_closed_folders()

    def _find_folders(self) -> list[Folder]:
        known = len(self.inbox.folders)
        self._frame.note(self.inbox.places, self.inbox.folders.values())
        changed = self.inbox.find_folders()
        if len(self.inbox.folders) != known:
            self._frame.forget()  # it was noted without those
        return changed

    def _log_refusals(self) -> None:
        for path, refusal in self.inbox.new_refusals().items():
            if self.reader.once.first(path, refusal.code):
                self._news = True
                self.metrics.rejected(refusal.code)
                self.log.event(
                    "file_refused",
                    file=os.fsdecode(path),
                    reason=refusal.code,
                    detail=refusal.detail,
                )

    def _decide(self) -> None:
        now = monotonic()
        on_evidence = self._evidence and self.settings.schedule.on_evidence
        if on_evidence and now - self._ticked_at >= self._evidence_tick_s:
            self._tick.at = now
        if not self._tick.is_due(now):
            return
        self._is_rested = self._is_rested and not self._evidence
        self._evidence = False
        self._ticked_at = now
        more = self._adapt()
        if more:
            self._tick.soon(monotonic(), 0.0)
        self._publish(raising=False)
        self.metrics.ticked(self.clock(), monotonic() - now)
        self.log.event("tick_done", revision=self.publisher.revision, backlog=self.inbox.backlog)
        self.notifier.status(self._words())

    @property
    def _evidence_tick_s(self) -> float:
        return _BACKLOG_TICK_S if self._in_backlog else _EVIDENCE_TICK_S

    def _adapt(self) -> bool:
        """One tick of the engine; True while it has not seen all evidence yet."""
        self.engine.save_status(self.status())
        events = self.engine.analyze_and_adapt()
        for event in events:
            self.summary.adaptations += 1
            self._news = True
            self.metrics.adaptation(event.trigger, event.kind)
            self.log.event(
                _EVENT_OF_KIND.get(event.kind, "adaptation_made"),
                policy=event.change_type,
                old=event.old_value,
                new=event.new_value,
                rule=event.trigger,
                reason=event.reason,
            )
        return self.engine.behind

    def _publish(self, *, raising: bool) -> None:
        now = self.clock()
        try:
            if self.publisher.publish(now, life_s=self.settings.publish.life_s):
                self._news = True
                self.metrics.published(now, self.publisher.revision)
                self.log.event("policy_published", revision=self.publisher.revision)
            self.reader.once.forget("publish")
        except PublishError as error:
            self.metrics.failure("publish")
            if self.reader.once.first("publish", error.detail):
                self.log.event("publish_failed", file=error.path, detail=error.detail)
            if raising:
                raise

    def _keep_up(self) -> None:
        now = monotonic()
        if self._prune.is_due(now) and not self._in_backlog:
            keep = self.settings.retention
            more = self.engine.database.prune(
                now=self.clock(),
                executions_s=keep.executions_s,
                patterns_s=keep.patterns_s,
                hours_s=keep.hours_s,
                days_s=keep.days_s,
            )
            if more:
                self._prune.soon(now, _PRUNE_NEXT_S)
                self.log.event("store_pruned")
        if not self._is_rested and not self._in_backlog and self._rest.is_due(now):
            self._is_rested = True
            self.reader.rest()
        news = self._news and self._metrics_due.is_due(now)
        if news or now >= self._metrics_quiet.at:
            self._metrics_quiet.at = now + _METRICS_QUIET_S
            self._news = False
            self._write_metrics()

    def _write_metrics(self) -> None:
        database_bytes, wal_bytes = self.engine.database.sizes()
        self.metrics.database(database_bytes=database_bytes, wal_bytes=wal_bytes)
        self.metrics.backlog(self.inbox.backlog)
        self.metrics.observer(alive=self.watcher.alive)
        states = self.engine.breaker_states()
        self.metrics.breakers(
            closed=states.get("closed", 0),
            half_open=states.get("half_open", 0),
            open_=states.get("open", 0),
        )
        try:
            self.metrics.write(metrics_path(self.settings, self.state), self.clock())
            self.reader.once.forget("metrics")
        except (OSError, PublishError) as error:
            if self.reader.once.first("metrics", str(error)):
                self.log.event("metrics_failed", detail=str(error))

    # --------------------------------------------------------------------- trouble
    def _in_trouble(self, error: StoreError) -> None:
        self._wait_until = monotonic() + _RETRY_S
        self.metrics.failure("store")
        self._news = True
        if self.reader.once.first("store", error.detail):
            self._trouble = error.detail
            self.log.event("store_failed", file=error.path, detail=error.detail)
            self.notifier.status(self._words())

    def _recovered(self) -> None:
        if self._trouble is not None and monotonic() >= self._wait_until:
            self._trouble = None
            self.reader.once.forget("store")
            self.log.event("store_recovered")

    def _last_words(self) -> None:
        with suppress(StoreError):
            self._adapt()
            self._publish(raising=False)
            self.engine.save()
        with suppress(StoreError):
            self._write_metrics()

    # --------------------------------------------------------------------- signals
    def _listen(self) -> None:
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        signal.signal(signal.SIGHUP, self._hang_up)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True
        self.inbox.hints.put(None)

    def _hang_up(self, _number: int, _frame: FrameType | None) -> None:
        self._reloading = True
        self.inbox.hints.put(None)

    def _carry_out_reload(self) -> None:
        self._reloading = False
        self.notifier.reloading()
        try:
            settings, places = self._reload()
        except ConfigError as error:
            self.metrics.settings(self.clock(), accepted=False)
            self.log.event("settings_refused", detail="; ".join(str(p) for p in error.problems))
        else:
            changed = diff(self.settings, settings)
            self.settings = settings
            self.engine.use(settings)
            self.inbox.close()
            self.inbox = self._new_inbox(places)
            self.reader = self._new_reader()
            self.state_dbs.close()
            self.state_dbs = self._new_state_dbs()
            self.state_dbs.find()
            self.watcher.stop()
            self.watcher = Watcher(self.inbox.hints)
            self._find_folders()
            self._observer_gone = not self.watcher.start(self._open_paths())
            self.inbox.scan(trusted=False)
            self.publisher.target = self._policy_path()
            self._tick.every_s = settings.schedule.tick_s
            self._tick.soon(monotonic(), 0.0)
            self.metrics.settings(self.clock(), accepted=True)
            self.log.event("settings_reloaded", changed=", ".join(changed) or "nothing")
        self.notifier.ready(self._words())

    # ----------------------------------------------------------------------- parts
    def _policy_path(self) -> Path:
        return self._policy_override or policy_path(self.settings, self.state)

    def _open_paths(self) -> list[Path]:
        return [folder.path for folder in self.inbox.folders.values() if folder.opened is not None]

    def _new_inbox(self, places: Iterable[Place]) -> Inbox:
        return Inbox(
            places,
            Looks(self.engine.database.file_looks()),
            largest_bytes=self.settings.files.largest_bytes,
            settle_s=self.settings.schedule.settle_s,
        )

    def _new_reader(self) -> Reader:
        return Reader(
            self.engine.database,
            Ingest.of(self.settings),
            self.inbox,
            log=self.log,
            metrics=self.metrics,
            clock=self.clock,
            largest_bytes=self.settings.files.largest_bytes,
        )

    def _new_state_dbs(self) -> StateDbs:
        return StateDbs(
            self.inbox.places,
            self.engine.database,
            RowIngest(self.reader.ingest),
            log=self.log,
            metrics=self.metrics,
            clock=self.clock,
            settle_s=self.settings.schedule.settle_s,
        )

    def _words(self) -> str:
        parts = [f"revision {self.publisher.revision}", f"{self.inbox.backlog} files waiting"]
        open_breakers = self.engine.open_breakers()
        if open_breakers:
            parts.append(f"{open_breakers} breakers open")
        if self._trouble is not None:
            parts.insert(0, f"in trouble: {self._trouble}")
        return ", ".join(parts)

    def status(self) -> dict[str, object]:
        """What `timmyd status` shows, as plain JSON."""
        return {
            "pid": os.getpid(),
            "version": __version__,
            "started_at": self.started_at,
            "seen_at": self.clock(),
            "ingested_at": self.ingested_at,
            "published_at": self.publisher.published_at,
            "revision": self.publisher.revision,
            "backlog": self.inbox.backlog,
            "ignored": self.inbox.ignored,
            "observer": "polling" if self._observer_gone else "inotify",
            "policy": str(self.publisher.target),
            "folders": [
                {
                    "path": str(folder.path),
                    "house": folder.house,
                    "state": "open" if folder.opened is not None else "missing",
                    "reason": None if folder.refusal is None else folder.refusal.code,
                }
                for folder in self.inbox.folders.values()
            ],
            "databases": [
                {
                    "path": str(found.path),
                    "house": found.house,
                    "state": found.code,
                    "words": found.words,
                }
                for found in self.state_dbs.findings()
                if found.code != "missing"
            ],
            "refused": [
                {
                    "file": os.fsencode(refusal.name).decode("utf-8", "backslashreplace"),
                    "reason": refusal.code,
                }
                for refusal in list(self.inbox.refused.values())[:50]
            ],
        }


_EVENT_OF_KIND = {
    "trial_started": "trial_started",
    "kept": "trial_ended",
    "taken_back": "trial_ended",
    "restored": "trial_ended",
    "ended_by_upgrade": "trial_ended",
    "rolled_back": "adaptation_reverted",
    "breaker_opened": "breaker_opened",
    "breaker_half_opened": "breaker_half_opened",
    "breaker_closed": "breaker_closed",
    "order": "order_carried_out",
    "order_refused": "order_refused",
}
