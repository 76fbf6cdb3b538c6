"""What keeps a daemon fit for years: old rows go, memory is given back, metrics and the page are written."""

import math
from pathlib import Path

from timmyd.config import Settings, metrics_path
from timmyd.engine import IntelligenceEngine
from timmyd.errors import PublishError
from timmyd.service.deadline import Deadline
from timmyd.service.logs import Once
from timmyd.service.lookout import Lookout
from timmyd.service.memory import resident_bytes
from timmyd.service.outside import Outside
from timmyd.service.report_page import ReportPage

_REST_S = 30.0
_REST_SOON_S = 5.0
_METRICS_S = 5.0
_METRICS_QUIET_S = 60.0
_PRUNE_S = 3600.0
_PRUNE_NEXT_S = 1.0
_IN_PLACE_S = 2.0


class Upkeep:
    """Does each of these when it is time, in steps small enough for the loop."""

    def __init__(self, engine: IntelligenceEngine, state: Path, outside: Outside) -> None:
        """Everything is due at once.

        Args:
            engine: Whose database, and whose breakers the metrics count.
            state: The state directory.
            outside: Is told what was removed; its metrics are written.
        """
        self.engine = engine
        self._state = state
        self._log, self._metrics, self._clock, self._steady, *_ = outside
        self._skew = outside.skew
        self._once = Once()
        self._started_at = self._clock()
        self._page = ReportPage(engine, self._log)
        self._is_rested = False
        self._prune = Deadline(_PRUNE_S)
        self._in_place = Deadline(_IN_PLACE_S)
        self._rest = Deadline(_REST_S)
        self._metrics_due = Deadline(_METRICS_S)
        self._metrics_quiet = Deadline(_METRICS_QUIET_S)

    @property
    def due_at(self) -> float:
        """When it would like to be called; the rest rides along."""
        return math.inf if self._skew().ahead_s else self._prune.at

    def was_busy(self) -> None:
        """There is something to give back again."""
        self._is_rested = False

    def rest_soon(self) -> None:
        """A backlog was read to its end."""
        self._rest.soon(self._steady(), _REST_SOON_S)

    def keep_up(
        self, settings: Settings, lookout: Lookout, *, has_news: bool, in_backlog: bool
    ) -> bool:
        """Do what is due; whether the news went into a metrics file.

        Raises:
            StoreError: The database refused, or is another file by now.
        """
        now = self._steady()
        if self._in_place.is_due(now):
            self.engine.database.check_in_place()
        if not in_backlog:
            self._remove_old(settings, now)
            self._page.keep(settings.files.report, now)
            if not self._is_rested and self._rest.is_due(now):
                self._is_rested = True
                lookout.intake.rest()
        if (has_news and self._metrics_due.is_due(now)) or now >= self._metrics_quiet.at:
            self._metrics_quiet.at = now + _METRICS_QUIET_S
            self.write_metrics(settings, lookout)
            return True
        return False

    def _remove_old(self, settings: Settings, now: float) -> None:
        if self._skew().ahead_s or not self._prune.is_due(now):
            return  # what is old is not known while the clock is doubted
        keep = settings.retention
        more = self.engine.database.prune(
            now=self._clock(),
            executions_s=keep.executions_s,
            patterns_s=keep.patterns_s,
            hours_s=keep.hours_s,
            days_s=keep.days_s,
        )
        if more:
            self._prune.soon(now, _PRUNE_NEXT_S)
            self._log.event("store_pruned")

    def write_page(self, settings: Settings) -> None:
        """Write the page, if one is wanted, due or not: it shall show how all ended.

        Raises:
            StoreError: The database cannot be read.
        """
        self._page.keep(settings.files.report, math.inf)

    def finish(self, settings: Settings, lookout: Lookout) -> None:
        """Write both for the last time.

        Raises:
            StoreError: The database cannot be read.
        """
        self.write_metrics(settings, lookout)
        self.write_page(settings)

    def write_metrics(self, settings: Settings, lookout: Lookout) -> None:
        """Write the metrics file; where that fails it is said once."""
        database_bytes, wal_bytes = self.engine.database.sizes()
        self._metrics.database(database_bytes=database_bytes, wal_bytes=wal_bytes)
        self._metrics.process(started_at=self._started_at, resident_bytes=resident_bytes())
        self._metrics.backlog(lookout.intake.inbox.backlog)
        self._metrics.observer(alive=lookout.watcher.alive)
        states = self.engine.breaker_states()
        self._metrics.breakers(
            closed=states.get("closed", 0),
            half_open=states.get("half_open", 0),
            open_=states.get("open", 0),
        )
        try:
            self._metrics.write(metrics_path(settings, self._state), self._clock())
            self._once.forget("metrics")
        except (OSError, PublishError) as error:
            if self._once.first("metrics", str(error)):
                self._log.event("metrics_failed", detail=str(error))
