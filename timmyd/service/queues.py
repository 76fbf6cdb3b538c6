"""The files of one owner that wait: live ones, and a backlog of the newest."""

from collections.abc import Callable
from operator import attrgetter
from typing import Final, NamedTuple

from timmyd.core.model import Source
from timmyd.service.files import Entry
from timmyd.service.homes import Folder

LIVE_MOST: Final = 2_000
BACKLOG_MOST: Final = 20_000
"""Files of one owner that are queued; where there are more, the oldest are looked for again later."""

_Due = Callable[[bytes, float], bool]


class Waiting(NamedTuple):
    """A file to read: where it is, whose it is, and how it looked."""

    folder: Folder
    entry: Entry
    source: Source

    @property
    def path(self) -> bytes:
        """The ledger's key of the file."""
        return self.folder.key(self.entry.name)


class _Queued(NamedTuple):
    """A file of the backlog. There may be many, so how it looks is asked again when its turn comes."""

    mtime_ns: int
    folder: Folder
    name: str


class OwnerQueue:
    """What waits of one owner.

    Attributes:
        live: By path: files that were hinted at, or that there is more of.
    """

    def __init__(self) -> None:
        self.live: dict[bytes, Waiting] = {}
        self._backlog: list[_Queued] = []
        self._names: set[int] = set()
        self._is_sorted = True
        self._is_cut = False

    def __len__(self) -> int:
        return len(self.live) + len(self._backlog)

    @property
    def has_backlog(self) -> bool:
        """Whether files wait that nobody hinted at."""
        return bool(self._backlog)

    @property
    def is_drained(self) -> bool:
        """Whether all that was queued was handed out, while there was more; asked once."""
        drained = self._is_cut and not self._backlog
        self._is_cut = self._is_cut and not drained
        return drained

    def put(self, path: bytes, waiting: Waiting) -> bool:
        """Queue a live file; False if there are too many."""
        if len(self.live) >= LIVE_MOST and path not in self.live:
            return False
        self.live[path] = waiting
        return True

    def add(self, waiting: Waiting) -> None:
        """Queue a file of the backlog, if it is not there yet."""
        key = hash(waiting.path)
        if key in self._names:
            return
        entry = waiting.entry
        self._names.add(key)
        self._backlog.append(_Queued(entry.mtime_ns, waiting.folder, entry.name))
        self._is_sorted = False
        if len(self._backlog) > 2 * BACKLOG_MOST:
            self._sort()
            del self._backlog[:-BACKLOG_MOST]
            self._names = {hash(one.folder.key(one.name)) for one in self._backlog}
            self._is_cut = True

    def _sort(self) -> None:
        if not self._is_sorted:
            self._backlog.sort(key=attrgetter("mtime_ns"))
            self._is_sorted = True

    def is_ready(self, is_due: _Due, now: float) -> bool:
        """Whether there is a file to hand out."""
        return bool(self._backlog) or any(is_due(path, now) for path in self.live)

    def pop_live(self, is_due: _Due, now: float) -> Waiting | None:
        """Hand out the first live file that is due."""
        for path in self.live:
            if is_due(path, now):
                return self.live.pop(path)
        return None

    def pop_backlog(self) -> tuple[Folder, str]:
        """Hand out the newest of the backlog."""
        self._sort()
        _, folder, name = self._backlog.pop()
        self._names.discard(hash(folder.key(name)))
        return folder, name
