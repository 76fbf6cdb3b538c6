"""Directory events as hints. One thread reads them all; nothing is decided here, so nothing can fail here."""

import errno
import os
import select
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from timmyd.service.hints import Hints
from timmyd.service.inotify import Inotify

_JOIN_S: Final = 2.0
_PACE_S: Final = 0.02
"""Between two looks: a storm of events costs a tenth of a core, and the kernel drops the rest of it."""

_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EMFILE, errno.ENFILE})


class Watcher:
    """Watches directories by one thread, each owner's in a queue of their own."""

    def __init__(self, hints: Hints) -> None:
        self.hints = hints
        self._lock = threading.Lock()
        self._queues: dict[int, Inotify] = {}
        self._owners: dict[bytes, int] = {}
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._wake_fd = -1

    @property
    def alive(self) -> bool:
        """Whether events arrive; without them the scans alone find what changed."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, paths: Iterable[Path]) -> bool:
        """Watch these directories; False where inotify has no room for it."""
        self.stop()
        if sys.platform != "linux" or not all(self.watch(path) for path in paths):
            self.stop()
            return False
        self._stopping.clear()
        try:
            self._wake_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            self._thread = threading.Thread(target=self._run, name="observer", daemon=True)
            self._thread.start()
        except (OSError, RuntimeError):
            self._thread = None
            self.stop()
            return False
        return True

    def watch(self, path: Path) -> bool:
        """Watch a directory, or again after it was replaced; False where there is no room, then none is."""
        folder = os.fsencode(path)
        self.unwatch(path)
        try:
            owner = path.stat().st_uid
            with self._lock:
                queue = self._queues.get(owner)
                if queue is None:
                    queue = self._queues[owner] = Inotify()
                queue.add(folder)
                self._owners[folder] = owner
        except OSError as error:
            if error.errno in _NO_ROOM:
                self.stop()
                return False
        self._wake()
        return True

    def unwatch(self, path: Path) -> None:
        """Watch a directory no longer."""
        folder = os.fsencode(path)
        with self._lock:
            owner = self._owners.pop(folder, None)
            if owner is not None:
                self._queues[owner].remove(folder)

    def stop(self) -> None:
        """End the thread and let go of all queues."""
        thread, self._thread = self._thread, None
        self._stopping.set()
        self._wake()
        if thread is not None and thread.is_alive():
            thread.join(_JOIN_S)
        with self._lock:
            for queue in self._queues.values():
                queue.close()
            self._queues.clear()
            self._owners.clear()
        if self._wake_fd >= 0:
            os.close(self._wake_fd)
            self._wake_fd = -1

    def _wake(self) -> None:
        if self._wake_fd >= 0:
            with suppress(OSError):
                os.eventfd_write(self._wake_fd, 1)

    def _run(self) -> None:
        while not self._stopping.is_set():
            with self._lock:
                queues = {queue.fd: queue for queue in self._queues.values()}
            poll = select.poll()
            for fd in (self._wake_fd, *queues):
                poll.register(fd, select.POLLIN)
            is_busy = False
            for fd, _ in poll.poll():
                if fd == self._wake_fd:
                    with suppress(OSError):
                        os.eventfd_read(fd)
                    continue
                with self._lock:
                    events = queues[fd].read()
                is_busy = is_busy or events.is_full
                for path in events.paths:
                    name = path.rpartition(b"/")[2]
                    if not name.startswith(b".") and not name.endswith(b".tmp"):
                        self.hints.put(path)
            self._stopping.wait(_PACE_S if is_busy else _PACE_S / 10)
