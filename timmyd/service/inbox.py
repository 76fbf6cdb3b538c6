"""Which files wait to be read. Directory events are hints; the scan and the ledger are the truth."""

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from timmyd.clock import Clock, monotonic
from timmyd.core.model import Source
from timmyd.service.files import Directory, Entry, judge
from timmyd.service.hints import Hints
from timmyd.service.homes import Folder, HouseOf, Place, as_claimed, folders_of
from timmyd.service.refusal import FileRefusedError
from timmyd.sources import classify

_FULL_LOOK_EVERY = 10
_READ_AT_MOST = 512
_MASK = (1 << 63) - 1


class Waiting(NamedTuple):
    """A file to read: where it is, whose it is, and how it looked."""

    folder: Folder
    entry: Entry
    source: Source

    @property
    def path(self) -> bytes:
        """The ledger's key of the file."""
        return self.folder.key(self.entry.name)


class Looks:
    """How every file looked when it was last read: (device, inode, size, mtime in ns) by path.

    Hashes of 64 bits stand for both, a third of the memory. The hash of a path is salted in each
    process, so nobody can make two that meet, and a million do so by chance once in 40 million.
    """

    def __init__(self, known: Mapping[bytes, tuple[int, int, int, int]]) -> None:
        self._known = {hash(path): hash(look) for path, look in known.items()}

    def is_new(self, path: bytes, entry: Entry) -> bool:
        """Whether the file differs from what was read."""
        return self._known.get(hash(path)) != hash(look_of(entry))

    def note(self, path: bytes, entry: Entry) -> None:
        """The file was read as it looks in `entry`."""
        self._known[hash(path)] = hash(look_of(entry))

    def __len__(self) -> int:
        return len(self._known)


class _Queued(NamedTuple):
    """A file of the backlog. There may be many, so how it looks is asked again when its turn comes."""

    mtime_ns: int
    folder: Folder
    name: str

    @property
    def path(self) -> bytes:
        """The ledger's key of the file."""
        return self.folder.key(self.name)


def look_of(entry: Entry) -> tuple[int, int, int, int]:
    """(device, inode, size, mtime in ns), each in the 63 bits that the ledger holds.

    Inode numbers may have 64 bits, and any user can set times that nanoseconds do not fit.
    """
    return (
        entry.device & _MASK,
        entry.inode & _MASK,
        entry.size_bytes & _MASK,
        entry.mtime_ns & _MASK,
    )


def look_of_status(status: os.stat_result) -> tuple[int, int, int, int]:
    """The same from the status of an open file."""
    return (
        status.st_dev & _MASK,
        status.st_ino & _MASK,
        status.st_size & _MASK,
        status.st_mtime_ns & _MASK,
    )


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
        """
        self.places = list(places)
        self.looks = looks
        self.folders: dict[Path, Folder] = {}
        self.refused: dict[bytes, FileRefusedError] = {}
        self.hints = hints or Hints()
        self.scans = 0
        self.events_lost = False
        self._new_refusals: dict[bytes, FileRefusedError] = {}
        self._ignored: set[int] = set()
        self._largest_bytes = largest_bytes
        self._settle_s = settle_s
        self._steady = steady
        self._house_of = house_of
        self._live: dict[bytes, Waiting] = {}
        self._backlog: list[_Queued] = []
        self._read_at: dict[bytes, float] = {}

    # ------------------------------------------------------------------ folders
    def find_folders(self) -> list[Folder]:
        """Look for directories that appeared, were replaced or went; returns those that changed."""
        for place in self.places:
            for folder in folders_of(place):
                self.folders.setdefault(folder.path, folder)
        return [folder for folder in self.folders.values() if folder.reopen(self._house_of)]

    def close(self) -> None:
        """Let go of every directory."""
        for folder in self.folders.values():
            folder.close()

    # ---------------------------------------------------------------------- scan
    def scan(self, *, trusted: bool) -> int:
        """Look at every directory and queue what changed; returns how many files were queued.

        Args:
            trusted: Directory events are arriving. A directory whose own time of change stands
                needs no second look then, except every tenth time: names were not replaced, and
                appended files give events.
        """
        self.scans += 1
        whole = not trusted or self.scans % _FULL_LOOK_EVERY == 1
        if whole:
            self._ignored.clear()
            self.refused.clear()
        before = len(self._backlog)
        queued = {hash(waiting.path) for waiting in self._backlog}
        for folder in self.folders.values():
            for waiting in self._changed(folder, whole=whole):
                if hash(waiting.path) not in queued:
                    entry = waiting.entry
                    self._backlog.append(_Queued(entry.mtime_ns, folder, entry.name))
        self._backlog.sort(key=attrgetter("mtime_ns"))
        return len(self._backlog) - before

    def _changed(self, folder: Folder, *, whole: bool) -> Iterator[Waiting]:
        directory = folder.opened
        if directory is None:
            return
        try:
            mtime_ns = os.fstat(directory.fd).st_mtime_ns
            if not whole and mtime_ns == folder.looked_at_mtime_ns:
                return
            for entry in directory.scan(largest_bytes=self._largest_bytes):
                waiting = self._consider(folder, entry)
                if waiting is not None:
                    yield waiting
            folder.looked_at_mtime_ns = mtime_ns
        except FileRefusedError as refusal:
            folder.refusal = refusal

    def _consider(self, folder: Folder, entry: Entry) -> Waiting | None:
        if entry.is_directory:
            return None
        path = folder.key(entry.name)
        source = classify(entry.name, folder.sub)
        if source is None or source not in folder.place.sources:
            self._ignored.add(hash(path))
            return None
        if entry.refusal is not None:
            refusal = FileRefusedError(entry.refusal, entry.name)
            self.refused[path] = self._new_refusals[path] = refusal
            return None
        self.refused.pop(path, None)
        self._new_refusals.pop(path, None)
        if not self.looks.is_new(path, entry):
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
        if folder is None:
            return
        if not name:
            folder.looked_at_mtime_ns = -1
            self.events_lost = True
            return
        waiting = self._look_at(folder, name)
        if waiting is not None:
            self._live[path] = waiting

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
        """The file to read now; None if none is due."""
        now = self._steady()
        for path, waiting in self._live.items():
            if now - self._read_at.get(path, 0.0) >= self._settle_s:
                del self._live[path]
                return waiting
        while self._backlog:
            queued = self._backlog.pop()
            found = self._look_at(queued.folder, queued.name)
            if found is not None:
                return found
        return None

    def due_in_s(self) -> float | None:
        """Seconds until a file that settles is due; None if none waits."""
        if self._backlog:
            return 0.0
        if not self._live:
            return None
        now = self._steady()
        rest = (self._settle_s - (now - self._read_at.get(path, 0.0)) for path in self._live)
        return max(0.0, min(rest))

    def put_back(self, waiting: Waiting) -> None:
        """The file could not be recorded; it waits again."""
        self._live[waiting.path] = waiting

    def was_read(self, waiting: Waiting) -> None:
        """The file was read, or could not be, as it looked then."""
        path = waiting.path
        self.looks.note(path, waiting.entry)
        self._read_at[path] = self._steady()
        if len(self._read_at) > _READ_AT_MOST:
            self.rest()

    def rest(self) -> None:
        """Forget what only a busy time needs: when files were read that have settled since."""
        limit = self._steady() - self._settle_s
        self._read_at = {path: at for path, at in self._read_at.items() if at > limit}

    @property
    def ignored(self) -> int:
        """How many files are none of ours, as of the last look at all directories."""
        return len(self._ignored)

    @property
    def backlog(self) -> int:
        """How many files wait."""
        return len(self._backlog) + len(self._live)


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
