"""Directory events as hints in a queue. Nothing is decided here, so nothing can fail here."""

import errno
import os
from collections.abc import Iterable
from pathlib import Path

from watchdog.events import (
    FileClosedEvent,
    FileCreatedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, ObservedWatch

from timmyd.service.hints import Hints

_NO_ROOM = frozenset({errno.ENOSPC, errno.EMFILE, errno.ENFILE})
_EVENTS: list[type[FileSystemEvent]] = [
    FileMovedEvent,
    FileCreatedEvent,
    FileModifiedEvent,
    FileClosedEvent,
]
_JOIN_S = 2.0


class _Hinter(FileSystemEventHandler):
    """Posts the path that an event is about; an error here would kill the observer's thread."""

    def __init__(self, hints: Hints) -> None:
        self._hints = hints

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Hint at the target of a rename, else at the file itself; temporary files are left out."""
        path = os.fsencode(event.dest_path or event.src_path)
        name = path.rpartition(b"/")[2]
        if not name.startswith(b".") and not name.endswith(b".tmp"):
            self._hints.put(path)


class Watcher:
    """watchdog's observer, supervised: `tend` says what had to be done to keep hints coming."""

    def __init__(self, hints: Hints) -> None:
        self._hinter = _Hinter(hints)
        self._observer: BaseObserver | None = None
        self._watches: dict[Path, ObservedWatch] = {}
        self.no_room = False

    @property
    def alive(self) -> bool:
        """Whether events arrive; without them the scans alone find what changed."""
        return self._observer is not None and self._observer.is_alive()

    def start(self, paths: Iterable[Path]) -> bool:
        """Watch these directories; False where inotify has no room for it."""
        self.stop()
        try:
            self._observer = Observer()
            self._observer.start()
        except OSError as error:
            self._give_up(error)
            return False
        watched = [self.watch(path) for path in paths]
        return all(watched)

    def watch(self, path: Path) -> bool:
        """Watch a directory, or again after it was replaced; False if that cannot be done."""
        if self._observer is None:
            return False
        self.unwatch(path)
        try:
            self._watches[path] = self._observer.schedule(
                self._hinter, str(path), recursive=False, event_filter=_EVENTS
            )
        except OSError as error:
            if error.errno in _NO_ROOM:
                self._give_up(error)
            return False
        return True

    def unwatch(self, path: Path) -> None:
        """Watch a directory no longer."""
        watch = self._watches.pop(path, None)
        if watch is not None and self._observer is not None:
            try:
                self._observer.unschedule(watch)
            except (OSError, KeyError):
                return

    def stop(self) -> None:
        """End the thread."""
        observer, self._observer = self._observer, None
        self._watches.clear()
        if observer is not None:
            observer.stop()
            if observer.is_alive():
                observer.join(_JOIN_S)

    def _give_up(self, error: OSError) -> None:
        self.no_room = error.errno in _NO_ROOM
        self.stop()
