"""Keeps the directories of sessions in sight: finds, watches and scans them, and says what became of each."""

import os
from pathlib import Path

from timmyd.service.deadline import Deadline
from timmyd.service.frame import Frame
from timmyd.service.homes import Folder
from timmyd.service.intake import Intake
from timmyd.service.logs import Once
from timmyd.service.observer import Watcher
from timmyd.service.outside import Outside
from timmyd.service.quotas import owner_name
from timmyd.service.refusal import Reason

_LOOK_FOR_FOLDERS_S = 2.0
_ENTER_FOLDERS_S = 30.0
_LATE_S = 0.9
_POLL_S = 2.0
_FIRST_SCAN_S = 1.0
_SCAN_S = 0.05
"""Of one turn, for looking at directories; what is left comes in the next one."""


class Lookout:
    """Watches over the folders of an intake; events are hints, its own looks are the truth.

    Attributes:
        has_news: Something was refused since it was last asked.
    """

    def __init__(
        self,
        intake: Intake,
        *,
        rescan_s: float,
        watcher: Watcher,
        outside: Outside,
    ) -> None:
        """Watch nothing yet.

        Args:
            intake: Whose folders.
            rescan_s: Seconds between two scans while events arrive; without them it is two.
            watcher: Gets the events.
            outside: Is told what appeared, went, and may not be read.
        """
        self.intake = intake
        self.watcher = watcher
        self.has_news = False
        self._log, self._metrics, self._clock, self._steady, *_ = outside
        self._once = Once()
        self._frame = Frame()
        self._is_polling = False
        self._refused: set[Path] = set()
        self._rescan_s = rescan_s
        self._rescan = Deadline(rescan_s)
        self._folders = Deadline(_LOOK_FOR_FOLDERS_S)
        self._enter = Deadline(_ENTER_FOLDERS_S)

    @property
    def is_polling(self) -> bool:
        """Whether inotify has no room, so that scans alone find what changed."""
        return self._is_polling

    @property
    def due_at(self) -> float:
        """When the next look is due; the one for folders rides along with what wakes us up anyway."""
        if self.intake.inbox.is_scanning:
            return 0.0
        return min(self._rescan.at, self._folders.at + _LATE_S)

    def start(self) -> int:
        """Find and watch what is there; returns how many files were queued."""
        self._find()
        self._is_polling = not self.watcher.start(self._open_paths())
        self._log.event("observer_replaced" if self._is_polling else "observer_started")
        inbox = self.intake.inbox
        inbox.begin_scan(trusted=False)
        inbox.scan_on(_FIRST_SCAN_S)
        self._say_closed()
        return inbox.backlog

    def stop(self) -> None:
        """Watch nothing any more."""
        self.watcher.stop()

    def look(self) -> None:
        """Look for folders, and at their files, as far as that is due."""
        now = self._steady()
        if self._folders.is_due(now):
            self._look_for_folders(now)
        self._rescan.every_s = min(self._rescan_s, _POLL_S) if self._is_polling else self._rescan_s
        if self.intake.inbox.events_lost:
            self.intake.inbox.events_lost = False
            self._rescan.soon(now, _POLL_S)
        inbox = self.intake.inbox
        if not inbox.is_scanning and self._rescan.is_due(now):
            self._refused = {f.path for f in self.intake.folders if f.refusal is not None}
            inbox.begin_scan(trusted=self.watcher.alive)
            if inbox.scan_on(_SCAN_S):
                self._scanned()
        elif inbox.is_scanning and inbox.scan_on(_SCAN_S):
            self._scanned()

    # --------------------------------------------------------------------- parts
    def _scanned(self) -> None:
        intake = self.intake
        for folder in intake.folders:
            refusal = folder.refusal
            if (
                refusal is not None
                and folder.path not in self._refused
                and folder.opened is not None
            ):
                self._log.event("scan_failed", file=str(folder.path), reason=refusal.code)
        self._log.event("scan_done", queued=intake.inbox.backlog, ignored=intake.inbox.ignored)
        self._say_reached()
        self._say_refusals()
        self._metrics.scanned(self._clock(), backlog=intake.inbox.backlog)

    def _look_for_folders(self, now: float) -> None:
        self._say_refusals()
        if not self.watcher.alive and not self._is_polling:
            self._log.event("observer_restarted")
            self._is_polling = not self.watcher.start(self._open_paths())
            self._rescan.soon(now, 0.0)
        if not self._enter.is_due(now) and not self._frame.has_changed():
            return
        for folder in self._find():
            if folder.opened is None:
                self.watcher.unwatch(folder.path)
                self._log.event("directory_vanished", file=str(folder.path), house=folder.house)
                continue
            self._log.event("directory_appeared", file=str(folder.path), house=folder.house)
            if not self._is_polling and not self.watcher.watch(folder.path):
                self._is_polling = not self.watcher.alive
                self._log.event("observer_replaced")
            self._rescan.soon(now, 0.0)
        self._say_closed()

    def _find(self) -> list[Folder]:
        known = len(self.intake.folders)
        self._frame.note(self.intake.places, self.intake.folders)
        changed = self.intake.find()
        if len(self.intake.folders) != known:
            self._frame.forget()  # it was noted without those
        return changed

    def _open_paths(self) -> list[Path]:
        return [folder.path for folder in self.intake.folders if folder.opened is not None]

    def _say_closed(self) -> None:
        """Say which directories are there and may not be read; what is not there yet is no news."""
        for folder in self.intake.folders:
            refusal = folder.refusal
            if folder.opened is not None:
                self._once.forget(folder.path)
                continue
            if refusal is None or refusal.reason is Reason.VANISHED:
                continue
            if self._once.first(folder.path, refusal.code):
                self._log.event(
                    "directory_refused",
                    file=str(folder.path),
                    house=folder.house,
                    reason=refusal.code,
                    detail=refusal.detail,
                )

    def _say_reached(self) -> None:
        for (owner, limit), house in self.intake.inbox.reached.limits.items():
            if self._once.first((owner, limit), limit):
                self.has_news = True
                self._log.event("quota_reached", owner=owner_name(owner), house=house, limit=limit)

    def _say_refusals(self) -> None:
        for path, refusal in self.intake.inbox.new_refusals().items():
            if self._once.first(path, refusal.code):
                self.has_news = True
                self._metrics.rejected(refusal.code)
                self._log.event(
                    "file_refused",
                    file=os.fsdecode(path),
                    reason=refusal.code,
                    detail=refusal.detail,
                )
