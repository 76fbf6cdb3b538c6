"""Opens a `state.db` so that nothing is changed beside it, and says in words why it cannot be.

How SQLite is told to open depends on what lies there, because `mode=ro` makes the `-wal` and `-shm`
that it does not find, and `immutable=1` does not see a `-wal`:

| the database | opened with |
|---|---|
| WAL mode, no `-wal` | `mode=ro&immutable=1`; what was read counts only if no `-wal` came meanwhile |
| WAL mode, `-wal` and `-shm` | `mode=ro&readonly_shm=1` |
| WAL mode, `-wal` alone | not at all: only its owner can mend it |
| rollback journal | `mode=ro` |
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from timmyd.errors import SessionError

HEADER_BYTES: Final = 100

_MAGIC: Final = b"SQLite format 3\0"
_WAL_MODE: Final = 2


class Found(NamedTuple):
    """How a database lay there: (device, inode, size, mtime in ns) of it and of its `-wal`."""

    file: tuple[int, int, int, int]
    wal: tuple[int, int, int, int] | None
    has_index: bool

    @property
    def is_closed(self) -> bool:
        """Whether nothing beside the file belongs to it; an empty `-wal` alone holds nothing."""
        return self.wal is None or (self.wal[2] == 0 and not self.has_index)


def look(path: str, *, dir_fd: int | None = None) -> Found:
    """See how a database lies there, without opening anything; a few microseconds.

    Args:
        path: Of the database, relative to `dir_fd` if that is given.
        dir_fd: An open directory.

    Raises:
        OSError: It is not there.
    """
    wal, index = maybe_stat(f"{path}-wal", dir_fd), maybe_stat(f"{path}-shm", dir_fd)
    return Found(_stat(path, dir_fd), wal, index is not None)


def _stat(path: str, dir_fd: int | None) -> tuple[int, int, int, int]:
    status = os.stat(path, dir_fd=dir_fd, follow_symlinks=False)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def maybe_stat(path: str, dir_fd: int | None = None) -> tuple[int, int, int, int] | None:
    """(device, inode, size, mtime in ns) of a file, None if it is not there."""
    try:
        return _stat(path, dir_fd)
    except FileNotFoundError:
        return None


def _refuse_torn(header: bytes, found: Found) -> None:
    """A file that is shorter than its header says is half of a copy."""
    size = int.from_bytes(header[16:18], "big")
    pages = int.from_bytes(header[28:32], "big")
    valid_for = header[24:28] == header[92:96]
    if found.is_closed and valid_for and pages * (65536 if size == 1 else size) > found.file[2]:
        raise SessionError(
            "torn", f"byte {found.file[2]}", "expected more pages, found the end of the file"
        )


def options_for(header: bytes, found: Found) -> str:
    """The URI parameters to open a database with.

    Raises:
        SessionError: `empty`, `not_sqlite`, `torn`, or `needs_agent`: it must not be opened.
    """
    if found.file[2] == 0:
        raise SessionError("empty", "byte 0", "expected a database, found an empty file")
    if not header.startswith(_MAGIC):
        raise SessionError("not_sqlite", "byte 0", "expected an SQLite database, found no such")
    _refuse_torn(header, found)
    if _WAL_MODE not in {header[18], header[19]}:
        return "mode=ro"
    if found.is_closed:
        return "mode=ro&immutable=1"
    if not found.has_index:
        raise SessionError(
            "needs_agent",
            "file",
            "its -wal has no -shm beside it; Hermes mends that when it starts",
        )
    return "mode=ro&readonly_shm=1"


@contextmanager
def opened(path: str, found: Found, options: str, read_s: float) -> Iterator[sqlite3.Connection]:
    """A connection that sees one state of the database; what SQLite opened is proven to be `found`.

    SQLite opens by path, so that a swap can only be noticed, not prevented.

    Raises:
        SessionError: `replaced`: it opened another file; `busy`: its agent has ended meanwhile.
    """
    uri = f"{Path(path).as_uri()}?{options}"
    before = _own_files()
    if not found.is_closed and not (maybe_stat(f"{path}-wal") and maybe_stat(f"{path}-shm")):
        # SQLite would make them again, whatever the options say
        raise SessionError("busy", "file", "its agent ended just now")
    connection = sqlite3.connect(
        uri, uri=True, timeout=read_s / 2, isolation_level=None, check_same_thread=False
    )
    try:
        connection.text_factory = _lenient
        connection.execute("PRAGMA query_only = ON")
        connection.execute("PRAGMA mmap_size = 0")
        connection.execute("BEGIN")
        connection.execute("PRAGMA schema_version").fetchone()
        if found.file[:2] not in {
            identity for fd, identity in _own_files().items() if before.get(fd) != identity
        }:
            raise SessionError("replaced", "file", "was replaced between look and open")
        yield connection
    finally:
        connection.close()


def _lenient(data: bytes) -> str:
    return str(data, "utf-8", "replace")


def _own_files() -> dict[int, tuple[int, int]]:
    """(device, inode) of every file that this process has open, by descriptor."""
    found = {}
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            status = os.fstat(int(entry.name))
            found[int(entry.name)] = (status.st_dev, status.st_ino)
    return found


@contextmanager
def guarded() -> Iterator[None]:
    """Turn what SQLite raises into a `SessionError` with a stable code."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            raise SessionError("locked", "file", "another program holds it") from error
        if code == sqlite3.SQLITE_NOTADB:
            raise SessionError(
                "not_sqlite", "file", "is no SQLite database, or encrypted"
            ) from error
        if code == sqlite3.SQLITE_CORRUPT:
            raise SessionError("damaged", "file", "SQLite calls it malformed") from error
        if code == sqlite3.SQLITE_INTERRUPT:
            raise SessionError("busy", "file", "it could not be read in time") from error
        if code in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR}:
            raise SessionError(
                "unreadable", "file", f"SQLite cannot read it ({_name(error)})"
            ) from error
        raise SessionError("damaged", "file", f"SQLite cannot use it ({_name(error)})") from error


def _name(error: sqlite3.Error) -> str:
    return str(getattr(error, "sqlite_errorname", type(error).__name__))
