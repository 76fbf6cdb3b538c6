"""What the ledger knows of all files at once, read in pieces: there may be a million."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Final

_LOOKS_AT_ONCE: Final = 10_000


def file_looks(
    reading: Callable[[], AbstractContextManager[sqlite3.Connection]],
) -> Iterator[tuple[bytes, tuple[int, int, int, int]]]:
    """(device, inode, size, mtime in ns) of every file as it was last read, some thousand at a time."""
    query = "SELECT path, dev, ino, size, mtime_ns FROM files WHERE path > ? ORDER BY path LIMIT ?"
    after = b""
    while True:
        with reading() as connection:
            found = connection.execute(query, (after, _LOOKS_AT_ONCE)).fetchall()
        yield from ((row[0], row[1:]) for row in found)
        if len(found) < _LOOKS_AT_ONCE:
            return
        after = found[-1][0]
