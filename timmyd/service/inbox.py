"""Which files wait to be read. Directory events are hints; the scan and the ledger are the truth."""

import os
import queue
import stat
from collections.abc import Iterable, Iterator, Mapping
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from timmyd.clock import monotonic
from timmyd.core.model import Source
from timmyd.service.files import Directory, Entry, judge, open_home
from timmyd.service.refusal import FileRefusedError, Reason
from timmyd.sources import TELEMETRY_FOLDER, classify

_SESSIONS = "sessions"
PROFILES = "profiles"
"""The folder of a Hermes home in which every profile has a home of its own."""

_FULL_LOOK_EVERY = 10
_ROOT_HOUSE = "timmy"
_READ_AT_MOST = 512
_MASK = (1 << 63) - 1


class Place(NamedTuple):
    """A Hermes home, or a directory of sessions alone, and whose work lies there.

    Attributes:
        root: The directory; nothing above or beside it is ever opened.
        house: The house of its sessions; a profile below it is a house of its own.
        is_home: Sessions lie in `sessions/` and in `profiles/*/sessions/` below.
        sources: The sources to read there.
    """

    root: Path
    house: str = _ROOT_HOUSE
    is_home: bool = True
    sources: frozenset[str] = frozenset({"telemetry", "state_db", "snapshot", "session"})


class Waiting(NamedTuple):
    """A file to read: where it is, whose it is, and how it looked."""

    folder: "Folder"
    entry: Entry
    source: Source

    @property
    def path(self) -> bytes:
        """The ledger's key of the file."""
        return self.folder.key(self.entry.name)


class Folder:
    """One directory that is looked at: a sessions directory or its `timmy` subfolder.

    Attributes:
        path: As the operator would name it.
        home: The root that session ids are unique within.
        house: Whose sessions these are.
        parts: How to get here from the root, component by component.
    """

    def __init__(self, place: Place, home: Path, house: str, parts: tuple[str, ...]) -> None:
        self.place = place
        self.home = home
        self.house = house
        self.parts = parts
        self.path = place.root.joinpath(*parts)
        self.sub = TELEMETRY_FOLDER if parts[-1:] == (TELEMETRY_FOLDER,) else ""
        self.opened: Directory | None = None
        self.refusal: FileRefusedError | None = None
        self.looked_at_mtime_ns = -1
        self._prefix = os.fsencode(self.path) + b"/"

    def key(self, name: str) -> bytes:
        """The ledger's key of a file in here."""
        return self._prefix + os.fsencode(name)

    def reopen(self) -> bool:
        """Make `opened` lead to the directory as it is now; True if it is another one than before."""
        if self.opened is not None and self.opened.is_current():
            return False
        before = self.opened
        self.close()
        self.looked_at_mtime_ns = -1
        try:
            self.opened = _enter(self.place.root, self.parts)
            self.refusal = None
        except FileRefusedError as refusal:
            self.refusal = refusal
        return self.opened is not None or before is not None

    def close(self) -> None:
        """Let go of the directory."""
        if self.opened is not None:
            self.opened.close()
            self.opened = None


def _enter(root: Path, parts: Iterable[str]) -> Directory:
    inner = open_home(root)
    for part in parts:
        outer = inner
        try:
            inner = outer.folder(part)
        finally:
            outer.close()
    return inner


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
    ) -> None:
        """Look nowhere yet.

        Args:
            places: Where sessions may lie; they need not exist yet.
            looks: What was read before.
            largest_bytes: Files above this are refused.
            settle_s: A file is read again at most once in this time.
        """
        self.places = list(places)
        self.looks = looks
        self.folders: dict[Path, Folder] = {}
        self.refused: dict[bytes, FileRefusedError] = {}
        self.hints: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self.scans = 0
        self._new_refusals: dict[bytes, FileRefusedError] = {}
        self._ignored: set[int] = set()
        self._largest_bytes = largest_bytes
        self._settle_s = settle_s
        self._live: dict[bytes, Waiting] = {}
        self._backlog: list[_Queued] = []
        self._read_at: dict[bytes, float] = {}

    # ------------------------------------------------------------------ folders
    def find_folders(self) -> list[Folder]:
        """Look for directories that appeared, were replaced or went; returns those that changed."""
        for place in self.places:
            for home, house, parts in _homes(place):
                for deeper in ((), (TELEMETRY_FOLDER,)):
                    folder = Folder(place, home, house, (*parts, *deeper))
                    self.folders.setdefault(folder.path, folder)
        return [folder for folder in self.folders.values() if folder.reopen()]

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
        try:
            hint = self.hints.get(timeout=timeout_s) if timeout_s > 0 else self.hints.get_nowait()
            while True:
                if hint is not None:
                    self._hint(hint)
                hint = self.hints.get_nowait()
        except queue.Empty:
            return

    def _hint(self, path: bytes) -> None:
        parent, _, name = os.fsdecode(path).rpartition("/")
        folder = self.folders.get(Path(parent))
        waiting = self._look_at(folder, name) if folder is not None and name else None
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
        now = monotonic()
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
        now = monotonic()
        rest = (self._settle_s - (now - self._read_at.get(path, 0.0)) for path in self._live)
        return max(0.0, min(rest))

    def put_back(self, waiting: Waiting) -> None:
        """The file could not be recorded; it waits again."""
        self._live[waiting.path] = waiting

    def was_read(self, waiting: Waiting) -> None:
        """The file was read, or could not be, as it looked then."""
        path = waiting.path
        self.looks.note(path, waiting.entry)
        self._read_at[path] = monotonic()
        if len(self._read_at) > _READ_AT_MOST:
            self.rest()

    def rest(self) -> None:
        """Forget what only a busy time needs: when files were read that have settled since."""
        limit = monotonic() - self._settle_s
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


def _homes(place: Place) -> Iterator[tuple[Path, str, tuple[str, ...]]]:
    """(home, house, parts to its sessions) of a place and, in a Hermes home, of every profile."""
    if not place.is_home:
        yield place.root, place.house, ()
        return
    yield place.root, place.house, (_SESSIONS,)
    try:
        profiles = _enter(place.root, (PROFILES,))
    except FileRefusedError:
        return
    try:
        for entry in profiles.scan(largest_bytes=0):
            if entry.is_directory and entry.refusal in {None, Reason.NOT_REGULAR}:
                house = house_of_profile(entry.name)
                if house is not None:
                    yield (
                        place.root / PROFILES / entry.name,
                        house,
                        (PROFILES, entry.name, _SESSIONS),
                    )
    except FileRefusedError:
        return
    finally:
        profiles.close()


def house_of_profile(name: str) -> str | None:
    """The house of a Hermes profile: its name, in the letters that a house may have."""
    house = name.lower()
    allowed = all(c.isascii() and (c.isalnum() or c in "_-") for c in house)
    return house if house and allowed and len(house) <= 32 else None  # noqa: PLR2004 - CONTRACT §1
