"""How every file looked when it was last read, in 16 bytes a file: there may be a million."""

import os
from array import array
from collections.abc import Iterable, Iterator
from typing import Final

from timmyd.service.files import Entry

Look = tuple[int, int, int, int]
"""(device, inode, size, mtime in ns)."""

_SHARDS: Final = 256
_FIRST: Final = 16
_MASK: Final = (1 << 64) - 1
_LEDGER_MASK: Final = (1 << 63) - 1


class Looks:
    """Hashes of looks by hashes of paths.

    The hash of a path is salted in each process, so nobody can make two that meet, and a million do
    so by chance once in 40 million.
    """

    def __init__(self, known: Iterable[tuple[bytes, Look]] = ()) -> None:
        """Begin with what the ledger knows."""
        self._shards = [_Shard() for _ in range(_SHARDS)]
        for path, look in known:
            self.note(path, look)

    def is_new(self, path: bytes, look: Look) -> bool:
        """Whether the file differs from what was read."""
        key = _hash(path)
        return self._shards[key % _SHARDS].get(key // _SHARDS) != _hash(look)

    def note(self, path: bytes, look: Look) -> None:
        """The file was read as it looks."""
        key = _hash(path)
        self._shards[key % _SHARDS].put(key // _SHARDS, _hash(look))

    def __len__(self) -> int:
        return sum(shard.used for shard in self._shards)


class _Shard:
    """An open table; a small one, so that growing takes no time that anybody would notice."""

    __slots__ = ("keys", "used", "values")

    def __init__(self) -> None:
        self.keys = array("Q", bytes(8 * _FIRST))
        self.values = array("Q", bytes(8 * _FIRST))
        self.used = 0

    def get(self, key: int) -> int:
        return self.values[self._place(key)]

    def put(self, key: int, value: int) -> None:
        place = self._place(key)
        if not self.values[place]:
            if 3 * self.used >= 2 * len(self.keys):
                self._grow()
                place = self._place(key)
            self.used += 1
        self.keys[place], self.values[place] = key, value

    def _place(self, key: int) -> int:
        """Where the key is, or may be put; an empty place has no value."""
        last = len(self.keys) - 1
        place = key & last
        while self.values[place] and self.keys[place] != key:
            place = (place + 1) & last
        return place

    def _grow(self) -> None:
        before = list(self._items())
        size = 8 * 2 * len(self.keys)
        self.keys, self.values = array("Q", bytes(size)), array("Q", bytes(size))
        for key, value in before:
            place = self._place(key)
            self.keys[place], self.values[place] = key, value

    def _items(self) -> Iterator[tuple[int, int]]:
        return ((key, value) for key, value in zip(self.keys, self.values, strict=True) if value)


def _hash(value: object) -> int:
    return hash(value) & _MASK or 1


def look_of(entry: Entry) -> Look:
    """How a file looks, in the 63 bits a number that the ledger holds.

    Inode numbers may have 64 bits, and any user can set times that nanoseconds do not fit.
    """
    return (
        entry.device & _LEDGER_MASK,
        entry.inode & _LEDGER_MASK,
        entry.size_bytes & _LEDGER_MASK,
        entry.mtime_ns & _LEDGER_MASK,
    )


def look_of_status(status: os.stat_result) -> Look:
    """The same from the status of an open file."""
    return (
        status.st_dev & _LEDGER_MASK,
        status.st_ino & _LEDGER_MASK,
        status.st_size & _LEDGER_MASK,
        status.st_mtime_ns & _LEDGER_MASK,
    )
