"""The one loop: a hint or a deadline, then read a slice | look again | tick | keep up; then the heartbeat."""

import os
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from types import FrameType

from timmyd import __version__
from timmyd.config import Settings, diff, policy_path
from timmyd.engine import IntelligenceEngine
from timmyd.engine.ingest import Ingest
from timmyd.errors import ConfigError, StoreError, TimmyError
from timmyd.service.deadline import Deadline
from timmyd.service.hints import Hints
from timmyd.service.homes import Place
from timmyd.service.intake import Intake
from timmyd.service.lookout import Lookout
from timmyd.service.observer import Watcher
from timmyd.service.outside import Outside
from timmyd.service.publisher import Publisher
from timmyd.service.reading import Progress
from timmyd.service.systemd import Notifier, watchdog_interval_s
from timmyd.service.telling import ClockNews, StatusFile, status_line, status_of
from timmyd.service.ticking import Summary, Ticking
from timmyd.service.trouble import Trouble
from timmyd.service.upkeep import Upkeep

_LONGEST_WAIT_S = 10.0


class Daemon:
    """Owns the loop. Everything it calls is bounded, so that it is never late for its heartbeat."""

    def __init__(
        self,
        settings: Settings,
        places: Iterable[Place],
        *,
        state: Path,
        engine: IntelligenceEngine,
        outside: Outside,
        notifier: Notifier,
        reload: Callable[[], tuple[Settings, list[Place]]],
        policy: Path | None = None,
        hints: Hints | None = None,
        watcher: Callable[[Hints], Watcher] = Watcher,
    ) -> None:
        """Look at nothing yet.

        Args:
            settings: In force until `reload` gives others.
            places: Where sessions may lie.
            state: The state directory; somebody else holds its lock.
            engine: Learns and decides.
            outside: Is told what happens, and gives the time.
            notifier: Speaks to systemd.
            reload: Gives new settings, or raises ConfigError.
            policy: Where to publish, if not where the settings say.
            hints: Where directory events arrive; the loop's only wait.
            watcher: Makes what gets them.
        """
        self.settings = settings
        self.state = state
        self.engine = engine
        self.notifier = notifier
        self.outside = outside
        self.log, self.metrics, self.clock, self.steady, *_ = outside
        self.hints = hints or Hints()
        self.started_at = self.clock()
        self._policy_override = policy
        self._reload = reload
        self._make_watcher = watcher
        self._stopping = self._reloading = False
        self._clock_news = ClockNews(outside)
        self._status_file = StatusFile(state)
        interval = watchdog_interval_s(os.environ)
        self._heartbeat = Deadline(_LONGEST_WAIT_S if interval is None else interval / 3)
        publisher = Publisher(engine, self._policy_path())
        self.ticking = Ticking(settings, engine, publisher, outside)
        self.upkeep = Upkeep(engine, state, outside)
        self.trouble = Trouble(outside)
        self.lookout = self._new_lookout(places)

    @property
    def intake(self) -> Intake:
        """What takes sessions in; a reload replaces it."""
        return self.lookout.intake

    @property
    def publisher(self) -> Publisher:
        """Owns the policy file."""
        return self.ticking.publisher

    # -------------------------------------------------------------------- running
    def run(self) -> int:
        """Work until a signal asks for the end; returns the exit status."""
        signal.signal(signal.SIGTERM, self.ask_to_stop)
        signal.signal(signal.SIGINT, self.ask_to_stop)
        signal.signal(signal.SIGHUP, self.ask_to_reload)
        self.log.event("daemon_started", version=__version__, state=str(self.state))
        self.metrics.settings(self.started_at, accepted=True)
        try:
            self.start()
            while not self._stopping:
                self.turn()
            self.stop()
        except Exception as error:
            if not isinstance(error, TimmyError):
                self.log.event("daemon_failed", reason=type(error).__name__)
            raise
        finally:
            self.lookout.stop()
            self.intake.close()
        self.log.event("daemon_stopped", status=0)
        return 0

    def once(self) -> Summary:
        """Take in all that is there, adapt, publish; no waiting, no watching."""
        self.intake.find()
        self.intake.scan(trusted=False)
        self._clock_news.look()
        try:
            for progress in self.intake.read_all():
                self._note(progress)
                self.notifier.watchdog()
            while self._adapt():
                self.notifier.watchdog()
            self.ticking.publish(raising=True)
            self.engine.save()
            self.upkeep.write_page(self.settings)
        finally:
            self.intake.close()
        summary = self.ticking.summary
        summary.ignored = self.intake.inbox.ignored
        summary.failed = len(self.engine.database.files(("failed",)))
        summary.revision = self.publisher.revision
        return summary

    def start(self) -> None:
        """See what is there, publish what is known, and be ready; a backlog does not delay that."""
        queued = self.lookout.start()
        try:
            self.ticking.publish()
        except StoreError as error:
            self._in_trouble(error)
        self.notifier.ready(self._words())
        self.log.release()
        self.log.event("daemon_ready", backlog=queued, revision=self.publisher.revision)

    def turn(self) -> None:
        """One turn of the loop: wait for a hint or a deadline, then do what is due."""
        self.intake.inbox.take_hints(self.wait_s())
        try:
            if self.steady() >= self.trouble.until:
                for progress in self.intake.read_slice():
                    self._note(progress)
            self.lookout.look()
            if self._tick():
                self.trouble.over()
            self._keep_up()
        except StoreError as error:
            self._in_trouble(error)
        self._status_file.write_if_due(self.steady(), self.status, words=self.trouble.words)
        if self._reloading:
            self._carry_out_reload()
        if self._heartbeat.is_due(self.steady(), early_s=self._heartbeat.every_s / 3):
            self.notifier.watchdog()

    def wait_s(self) -> float:
        """How long the next turn may wait for a hint, in seconds."""
        if self._stopping or self._reloading:
            return 0.0
        now = self.steady()
        at = min(self._heartbeat.at, self.ticking.due_at, self.lookout.due_at, self.upkeep.due_at)
        due_in_s = self.intake.due_in_s()
        if due_in_s is not None:
            at = min(at, now + due_in_s)
        return min(max(0.0, at - now, self.trouble.until - now), _LONGEST_WAIT_S)

    def stop(self) -> None:
        """Say what is still to be said, and save it."""
        self.notifier.stopping()
        self.log.event("daemon_stopping")
        with suppress(StoreError):
            self._adapt()
            self.ticking.publish()
            self.engine.save()
        with suppress(StoreError):
            self.upkeep.finish(self.settings, self.lookout)

    def _note(self, progress: Progress) -> None:
        if progress.files:
            self.upkeep.was_busy()
        if self.ticking.note(progress, waiting=self.intake.backlog):
            self.upkeep.rest_soon()

    def _tick(self) -> bool:
        if self._clock_news.look():
            self.ticking.tick_soon()
        if self.steady() < max(self.ticking.due_at, self.trouble.until):
            return False
        self.engine.save_status(self.status())
        self.ticking.tick()
        self.log.event("tick_done", revision=self.publisher.revision, backlog=self.intake.backlog)
        self.notifier.status(self._words())
        return True

    def _adapt(self) -> bool:
        self.engine.save_status(self.status())
        return self.ticking.adapt()

    def _keep_up(self) -> None:
        written = self.upkeep.keep_up(
            self.settings,
            self.lookout,
            has_news=self.ticking.has_news or self.lookout.has_news,
            in_backlog=self.ticking.in_backlog,
        )
        if written:
            self.ticking.has_news = self.lookout.has_news = False

    def _in_trouble(self, error: StoreError) -> None:
        if self.trouble.met(error):
            self.notifier.status(self._words())
        self.ticking.tick_soon()  # whether writing works again is seen by writing

    def ask_to_stop(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        """End after this turn."""
        self._stopping = True
        self.hints.wake()

    def ask_to_reload(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        """Read the settings again in the next turn."""
        self._reloading = True
        self.hints.wake()

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
            self.lookout.stop()
            self.intake.close()
            self.lookout = self._new_lookout(places)
            self.lookout.start()
            self.publisher.target = self._policy_path()
            self.ticking.use(settings)
            self.metrics.settings(self.clock(), accepted=True)
            self.log.event("settings_reloaded", changed=", ".join(changed) or "nothing")
        self.notifier.ready(self._words())

    def _policy_path(self) -> Path:
        return self._policy_override or policy_path(self.settings, self.state)

    def _new_lookout(self, places: Iterable[Place]) -> Lookout:
        intake = Intake(
            places,
            self.engine.database,
            Ingest.of(self.settings),
            largest_bytes=self.settings.files.largest_bytes,
            settle_s=self.settings.schedule.settle_s,
            outside=self.outside,
            hints=self.hints,
            quota=self.settings.quota,
        )
        return Lookout(
            intake,
            rescan_s=self.settings.schedule.rescan_s,
            watcher=self._make_watcher(self.hints),
            outside=self.outside,
        )

    def _words(self) -> str:
        broken = self.engine.open_breakers()
        return status_line(
            self.publisher, self.lookout, open_breakers=broken, trouble=self.trouble.words
        )

    def status(self) -> dict[str, object]:
        """What `timmyd status` shows, as plain JSON."""
        for (owner, limit), house in self.engine.learner.names.reached.items():
            self.intake.inbox.reached.note(owner, limit, house)
        return status_of(
            self.publisher,
            self.lookout,
            trust=self.outside.trust(),
            trouble=self.trouble.words,
            now=self.outside.wall(),
            started_at=self.started_at,
            ingested_at=self.ticking.ingested_at,
        )
