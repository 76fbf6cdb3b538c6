"""Which files wait to be read. Directory events are hints; the scan and the ledger are the truth.

Each owner has a queue of their own, of bounded length, and they take turns (law 8).
"""

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from timmyd.clock import Clock, monotonic
from timmyd.core.shares import Shares
from timmyd.service.files import Directory, Entry, judge
from timmyd.service.hints import Hints
from timmyd.service.homes import Folder, HouseOf, Place, as_claimed, folders_of
from timmyd.service.looks import Looks, look_of
from timmyd.service.queues import OwnerQueue, Waiting
from timmyd.service.quotas import Quotas, QuotasReached
from timmyd.service.refusal import FileRefusedError
from timmyd.sources import classify

_FULL_LOOK_EVERY = 10
_READ_AT_MOST = 512
_NAMED_MOST = 1_000
_IGNORED_MOST = 100_000
_BETWEEN_LOOKS = 64
_DEAR_S = 0.1
_ENDED = object()
_SHARE_OF_SCANS = 0.1
"""Of our time, at most, goes into one owner's scans; smaller folders are not held to it."""


class Inbox:
    """Finds what changed, by hints and by scans, and hands it out: live files first, then newest first."""

    def __init__(
        self,
        places: Iterable[Place],
        looks: Looks,
        *,
        largest_bytes: int,
        settle_s: float,
        hints: Hints | None = None,
        steady: Clock = monotonic,
        house_of: HouseOf = as_claimed,
        quotas: Quotas | None = None,
    ) -> None:
        """Look nowhere yet.

        Args:
            places: Where sessions may lie; they need not exist yet.
            looks: What was read before.
            largest_bytes: Files above this are refused.
            settle_s: A file is read again at most once in this time.
            hints: Where they arrive.
            steady: A clock that never jumps, in seconds.
            house_of: Says whose each directory is.
            quotas: What one owner may use; None: as much as there is, for a command's own work.
        """
        self.places = list(places)
        self.looks = looks
        self.folders: dict[Path, Folder] = {}
        self.refused: dict[bytes, FileRefusedError] = {}
        self.hints = hints or Hints()
        self.scans = 0
        self.events_lost = False
        self.quotas = quotas or Quotas.none()
        self.reached = QuotasReached()
        self.shares: Shares[int] = Shares(per_s=self.quotas.files_per_s)
        self._new_refusals: dict[bytes, FileRefusedError] = {}
        self._ignored: set[int] = set()
        self._largest_bytes = largest_bytes
        self._settle_s = settle_s
        self._steady = steady
        self._house_of = house_of
        self._queues: dict[int, OwnerQueue] = {}
        self._scanning: dict[int, Iterator[None]] = {}
        self._look_again: dict[int, float] = {}
        self._read_at: dict[bytes, float] = {}

    # ------------------------------------------------------------------ folders
    def find_folders(self) -> list[Folder]:
        """Look for directories that appeared, were replaced or went; returns those that changed."""
        for place in self.places:
            for folder in folders_of(place, self.quotas.profiles, self.reached.note):
                self.folders.setdefault(folder.path, folder)
        return [folder for folder in self.folders.values() if folder.reopen(self._house_of)]

    def close(self) -> None:
        """Let go of every directory."""
        self._scanning.clear()
        for folder in self.folders.values():
            folder.close()

    def _queue(self, owner: int) -> OwnerQueue:
        queue = self._queues.get(owner)
        if queue is None:
            queue = self._queues[owner] = OwnerQueue()
        return queue

    # ---------------------------------------------------------------------- scan
    def scan(self, *, trusted: bool) -> int:
        """Look at every directory and queue what changed; returns how many files were queued.

        Args:
            trusted: Directory events are arriving. A directory whose own time of change stands
                needs no second look then, except every tenth time: names were not replaced, and
                appended files give events.
        """
        before = self.backlog
        self._look_again.clear()
        self.begin_scan(trusted=trusted)
        while not self.scan_on(1.0):
            pass
        return self.backlog - before

    def begin_scan(self, *, trusted: bool) -> None:
        """Begin to look at every directory; `scan_on` goes on with it."""
        self.scans += 1
        whole = not trusted or self.scans % _FULL_LOOK_EVERY == 1
        if whole:
            self._ignored.clear()
            self.refused.clear()
        owned: dict[int, list[Folder]] = {}
        for folder in self.folders.values():
            if folder.opened is not None:
                owned.setdefault(folder.opened.owner_uid, []).append(folder)
        self._scanning = {
            owner: self._scan_owner(owner, folders, whole=whole)
            for owner, folders in owned.items()
            if self._steady() >= self._look_again.get(owner, 0.0)
        }

    @property
    def is_scanning(self) -> bool:
        """Whether a scan has begun and not come to its end."""
        return bool(self._scanning)

    def scan_on(self, slice_s: float) -> bool:
        """Look on, owner by owner in turns, for about so long; True at the end of the scan."""
        end = self._steady() + slice_s
        while self._scanning:
            owner = next(iter(self._scanning))
            looking = self._scanning.pop(owner)
            if next(looking, _ENDED) is not _ENDED:
                self._scanning[owner] = looking  # behind the others
            if self._steady() >= end:
                break
        return not self._scanning

    def _scan_owner(self, owner: int, folders: list[Folder], *, whole: bool) -> Iterator[None]:
        """Queue what changed in the folders of an owner; pauses every few files."""
        seen, spent_s = 0, 0.0
        began = self._steady()
        queue = self._queue(owner)
        for folder in folders:
            directory = folder.opened
            if directory is None:
                continue
            try:
                mtime_ns = os.fstat(directory.fd).st_mtime_ns
                if not whole and mtime_ns == folder.looked_at_mtime_ns:
                    continue
                for entry in directory.scan(largest_bytes=self._largest_bytes):
                    seen += 1
                    if seen > self.quotas.files:
                        self.reached.note(owner, "files", folder.house)
                        break
                    waiting = self._consider(folder, entry)
                    if waiting is not None:
                        queue.add(waiting)
                    if seen % _BETWEEN_LOOKS == 0:
                        spent_s += self._steady() - began
                        yield None
                        began = self._steady()
                folder.looked_at_mtime_ns = mtime_ns
            except (FileRefusedError, OSError) as error:
                folder.refusal = (
                    error
                    if isinstance(error, FileRefusedError)
                    else FileRefusedError.of(error, folder.path.name)
                )
        spent_s += self._steady() - began
        if spent_s > _DEAR_S:
            self._look_again[owner] = self._steady() + spent_s / _SHARE_OF_SCANS

    def _consider(self, folder: Folder, entry: Entry) -> Waiting | None:
        if entry.is_directory:
            return None
        path = folder.key(entry.name)
        source = classify(entry.name, folder.sub)
        if source is None or source not in folder.place.sources:
            if len(self._ignored) < _IGNORED_MOST:
                self._ignored.add(hash(path))
            return None
        if entry.refusal is not None:
            refusal = FileRefusedError(entry.refusal, entry.name)
            for refused in (self.refused, self._new_refusals):
                if len(refused) < _NAMED_MOST:
                    refused[path] = refusal
            return None
        self.refused.pop(path, None)
        self._new_refusals.pop(path, None)
        if not self.looks.is_new(path, look_of(entry)):
            return None
        return Waiting(folder, entry, source)

    def new_refusals(self) -> dict[bytes, FileRefusedError]:
        """The files that were refused since this was last asked, also those that were before."""
        found, self._new_refusals = self._new_refusals, {}
        return found

    # --------------------------------------------------------------------- hints
    def take_hints(self, timeout_s: float) -> None:
        """Wait for a hint at most so long, then take all that are there."""
        for hint in self.hints.take(timeout_s):
            self._hint(hint)

    def _hint(self, path: bytes) -> None:
        parent, _, name = os.fsdecode(path).rpartition("/")
        folder = self.folders.get(Path(parent))
        if folder is None or folder.opened is None:
            return
        waiting = self._look_at(folder, name) if name else None
        if not name or (
            waiting is not None and not self._queue(folder.opened.owner_uid).put(path, waiting)
        ):
            folder.looked_at_mtime_ns = -1
            self.events_lost = True

    def _look_at(self, folder: Folder, name: str) -> Waiting | None:
        """The file as it is now, None if it is gone, refused, or as it was read."""
        if folder.opened is None:
            return None
        try:
            status = os.stat(name, dir_fd=folder.opened.fd, follow_symlinks=False)
        except OSError:
            return None
        entry = _entry(name, status, folder.opened, self._largest_bytes)
        return self._consider(folder, entry)

    # ------------------------------------------------------------------- handing out
    def next(self) -> Waiting | None:
        """The file to read now; None if none is due. Owners take turns."""
        now = self._steady()
        while True:
            ready = [o for o, queue in self._queues.items() if queue.is_ready(self._is_due, now)]
            owner = self.shares.next(ready, now)
            if owner is None:
                return None
            queue = self._queues[owner]
            waiting = queue.pop_live(self._is_due, now)
            if waiting is not None:
                return waiting
            folder, name = queue.pop_backlog()
            waiting = self._look_at(folder, name)
            if queue.is_drained:
                self.events_lost = True  # only the newest were queued: look for the others
                folder.looked_at_mtime_ns = -1
            if waiting is not None:
                return waiting

    def _is_due(self, path: bytes, now: float) -> bool:
        return now - self._read_at.get(path, 0.0) >= self._settle_s

    def worked(self, waiting: Waiting, spent_s: float) -> None:
        """A file that was handed out took so long; its owner's turn comes the later."""
        if waiting.folder.opened is not None:
            self.shares.charge(waiting.folder.opened.owner_uid, spent_s)

    def due_in_s(self) -> float | None:
        """Seconds until a file that settles is due; None if none waits."""
        if any(queue.has_backlog for queue in self._queues.values()):
            return 0.0
        now = self._steady()
        rest = [
            self._settle_s - (now - self._read_at.get(path, 0.0))
            for queue in self._queues.values()
            for path in queue.live
        ]
        return max(0.0, min(rest)) if rest else None

    def put_back(self, waiting: Waiting) -> None:
        """The file could not be recorded, or there is more of it; it waits again."""
        if waiting.folder.opened is not None:
            self._queue(waiting.folder.opened.owner_uid).live[waiting.path] = waiting

    def was_read(self, waiting: Waiting, *, again: bool = False) -> None:
        """The file was read, or could not be, as it looked then; `again`: the next scan tries it."""
        path = waiting.path
        if not again:
            self.looks.note(path, look_of(waiting.entry))
        self._read_at[path] = self._steady()
        if len(self._read_at) > _READ_AT_MOST:
            self.rest()

    def rest(self) -> None:
        """Forget what only a busy time needs: when files were read that have settled since."""
        limit = self._steady() - self._settle_s
        self._read_at = {path: at for path, at in self._read_at.items() if at > limit}
        self.shares.forget()

    @property
    def ignored(self) -> int:
        """How many files are none of ours, as of the last look at all directories."""
        return len(self._ignored)

    @property
    def backlog(self) -> int:
        """How many files wait."""
        return sum(len(queue) for queue in self._queues.values())


def _entry(name: str, status: os.stat_result, directory: Directory, largest_bytes: int) -> Entry:
    refusal = judge(status, owner_uid=directory.owner_uid, largest_bytes=largest_bytes)
    return Entry(
        name,
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        refusal,
        stat.S_ISDIR(status.st_mode),
    )
