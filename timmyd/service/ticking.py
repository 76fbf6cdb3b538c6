"""The tick: the engine looks at the evidence, what it decides is said, and the policy is published."""

import msgspec

from timmyd.config import Settings
from timmyd.engine import IntelligenceEngine
from timmyd.errors import PublishError
from timmyd.service.deadline import Deadline
from timmyd.service.logs import Once
from timmyd.service.outside import Outside
from timmyd.service.publisher import Publisher
from timmyd.service.reading import Progress

_EVIDENCE_TICK_S = 1.0
_LASTS_S = 5.0
"""A backlog that is read sooner is no news: live files come in bursts."""
_MANY_FILES = 10
"""Fewer files wait wherever several agents are at work, and that is no news."""
_BACKLOG_TICK_S = 5.0
"""While a backlog is read every slice brings evidence, and little of it is news."""

_EVENT_OF_KIND = {
    "trial_started": "trial_started",
    "kept": "trial_ended",
    "taken_back": "trial_ended",
    "restored": "trial_ended",
    "ended_by_upgrade": "trial_ended",
    "rolled_back": "adaptation_reverted",
    "observed": "adaptation_observed",
    "breaker_opened": "breaker_opened",
    "breaker_half_opened": "breaker_half_opened",
    "breaker_closed": "breaker_closed",
    "order": "order_carried_out",
    "order_refused": "order_refused",
}


class Summary(msgspec.Struct, kw_only=True):
    """What `run --once` did."""

    files: int = 0
    executions: int = 0
    amended: int = 0
    failed: int = 0
    ignored: int = 0
    adaptations: int = 0
    revision: int = 0


class Ticking:
    """When the engine looks at the evidence, and what is done with its answer.

    Attributes:
        summary: What was done since the start.
        has_news: Something worth a new metrics file happened since it was last asked.
        in_backlog: Files wait that were written while nobody looked.
        ingested_at: When something was read last, Unix seconds.
    """

    def __init__(
        self,
        settings: Settings,
        engine: IntelligenceEngine,
        publisher: Publisher,
        outside: Outside,
    ) -> None:
        """Due at once.

        Args:
            settings: How often, and how long a policy lives.
            engine: Decides.
            publisher: Owns the policy file.
            outside: Is told what was decided.
        """
        self.engine = engine
        self.publisher = publisher
        self.summary = Summary()
        self.has_news = True
        self.in_backlog = False
        self._backlog_since = 0.0
        self._backlog_told = False
        self.ingested_at: float | None = None
        self._settings = settings
        self._log, self._metrics, self._clock, self._steady, *_ = outside
        self._skew = outside.skew
        self._once = Once()
        self._has_evidence = False
        self._ticked_at = -1e9
        self._tick = Deadline(settings.schedule.tick_s)

    def tick_soon(self) -> None:
        """Something happened that cannot wait for the next tick."""
        self.has_news = True
        self._tick.soon(self._steady(), 0.0)

    def use(self, settings: Settings) -> None:
        """New settings are in force, from now on."""
        self._settings = settings
        self._tick.every_s = settings.schedule.tick_s
        self.tick_soon()

    def note(self, progress: Progress, *, waiting: int) -> bool:
        """So much was read, and so many files still wait; True if a backlog is read to its end now."""
        if progress.files:
            self.ingested_at = self._clock()
            self.has_news = True
            self.summary.files += progress.files
            self.summary.executions += progress.executions
            self.summary.amended += progress.amended
        if progress.executions or progress.amended:
            self._has_evidence = True
        now = self._steady()
        if waiting > 1 and not self.in_backlog:
            self.in_backlog, self._backlog_since = True, now
        lasts = self.in_backlog and now - self._backlog_since >= _LASTS_S
        if lasts and waiting >= _MANY_FILES and not self._backlog_told:
            self._backlog_told = True
            self._log.event("backlog_started", files=waiting)
        if waiting or not self.in_backlog:
            return False
        self.in_backlog = False
        if self._backlog_told:
            self._backlog_told = False
            self._log.event("backlog_done", executions=self.summary.executions)
        return True

    @property
    def due_at(self) -> float:
        """When the next tick is due: soon after evidence, else as the settings say."""
        if self._has_evidence and self._settings.schedule.on_evidence:
            pause_s = _BACKLOG_TICK_S if self.in_backlog else _EVIDENCE_TICK_S
            return min(self._tick.at, self._ticked_at + pause_s)
        return self._tick.at

    def tick(self) -> None:
        """Look at the evidence, decide and publish.

        Raises:
            StoreError: The database refused; what was committed stands.
        """
        now = self._steady()
        self._tick.at = now + self._tick.every_s
        self._has_evidence = False
        self._ticked_at = now
        if self.adapt():
            self._tick.soon(self._steady(), 0.0)
        self.publish()
        self._metrics.ticked(self._clock(), self._steady() - now)

    def adapt(self) -> bool:
        """Let the engine decide once; True while it has not seen all evidence yet."""
        for event in self.engine.analyze_and_adapt():
            self.summary.adaptations += event.kind != "observed"
            self.has_news = True
            self._metrics.adaptation(event.trigger, event.kind)
            self._log.event(
                _EVENT_OF_KIND.get(event.kind, "adaptation_made"),
                policy=event.change_type,
                old=event.old_value,
                new=event.new_value,
                rule=event.trigger,
                reason=event.reason,
            )
        return self.engine.behind

    def publish(self, *, raising: bool = False) -> None:
        """Replace the policy file if there is a reason to.

        Raises:
            PublishError: Only if `raising`; else it is said, and the next tick tries again.
        """
        now = self._clock()
        try:
            life_s = self._settings.publish.life_s
            if self.publisher.publish(now, life_s=life_s, ahead_s=self._skew().ahead_s):
                self.has_news = True
                self._metrics.published(now, self.publisher.revision)
                self._log.event("policy_published", revision=self.publisher.revision)
            self._once.forget("publish")
            if self.publisher.waits_s:
                self._tick.soon(self._steady(), self.publisher.waits_s)
        except PublishError as error:
            self._metrics.failure("publish")
            if self._once.first("publish", error.detail):
                self._log.event("publish_failed", file=error.path, detail=error.detail)
            if raising:
                raise
