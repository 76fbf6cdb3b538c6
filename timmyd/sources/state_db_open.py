"""Opens a `state.db` so that nothing is changed beside it, and says in words why it cannot be.

How SQLite is told to open depends on what lies there, because `mode=ro` makes the `-wal` and `-shm`
that it does not find, and `immutable=1` does not see a `-wal`:

| the database | opened with |
|---|---|
| WAL mode, no `-wal` | `mode=ro&immutable=1`; what was read counts only if no `-wal` came meanwhile |
| WAL mode, `-wal` and `-shm` | `mode=ro&readonly_shm=1` |
| WAL mode, `-wal` alone | not at all: only its owner can mend it |
| rollback journal | `mode=ro` |

Whose file it is may have written anything into it. So a connection lives under limits from before its
first statement to its end: of time, by SQLite's progress handler; of what it parses and holds.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from struct import Struct
from typing import Final, NamedTuple

from timmyd.clock import monotonic
from timmyd.errors import SessionError

HEADER_BYTES: Final = 100

LARGEST_VALUE_BYTES: Final = 16 << 20
"""The largest value that SQLite may hold in memory; a row with a larger one is read in parts."""

_LARGEST_WAL_BYTES: Final = 512 << 20
"""Hermes' own stays at 4 MiB. One without a valid index is gone through whole, and nothing stops that."""

_LIMITS: Final = {
    sqlite3.SQLITE_LIMIT_LENGTH: LARGEST_VALUE_BYTES,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 100_000,
    sqlite3.SQLITE_LIMIT_COLUMN: 1_000,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 200,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 50,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 1,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}
_OPS_BETWEEN_LOOKS: Final = 1_000
_INDEX_HEADER: Final = Struct("=12I")
_INDEX_VERSION: Final = 3_007_000
_LOCKED_S: Final = 0.025
"""How long to wait for a lock. A writer in WAL mode holds up nobody."""

_PRAGMAS: Final = ("query_only = ON", "trusted_schema = OFF", "mmap_size = 0")

_MAGIC: Final = b"SQLite format 3\0"
_WAL_MODE: Final = 2


class DbStamp(NamedTuple):
    """How a database lay there: (device, inode, size, mtime in ns) of it and of its `-wal`."""

    file: tuple[int, int, int, int]
    wal: tuple[int, int, int, int] | None
    has_index: bool

    @property
    def is_closed(self) -> bool:
        """Whether nothing beside the file belongs to it; an empty `-wal` alone holds nothing."""
        return self.wal is None or (self.wal[2] == 0 and not self.has_index)


def look(path: str, *, dir_fd: int | None = None) -> DbStamp:
    """See how a database lies there, without opening anything; a few microseconds.

    Args:
        path: Of the database, relative to `dir_fd` if that is given.
        dir_fd: An open directory.

    Raises:
        OSError: It is not there.
    """
    wal, index = maybe_stat(f"{path}-wal", dir_fd), maybe_stat(f"{path}-shm", dir_fd)
    return DbStamp(_stat(path, dir_fd), wal, index is not None)


def _stat(path: str, dir_fd: int | None) -> tuple[int, int, int, int]:
    status = os.stat(path, dir_fd=dir_fd, follow_symlinks=False)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def maybe_stat(path: str, dir_fd: int | None = None) -> tuple[int, int, int, int] | None:
    """(device, inode, size, mtime in ns) of a file, None if it is not there."""
    try:
        return _stat(path, dir_fd)
    except FileNotFoundError:
        return None


def _refuse_torn(header: bytes, found: DbStamp) -> None:
    """A file that is shorter than its header says is half of a copy."""
    size = int.from_bytes(header[16:18], "big")
    pages = int.from_bytes(header[28:32], "big")
    valid_for = header[24:28] == header[92:96]
    if found.is_closed and valid_for and pages * (65536 if size == 1 else size) > found.file[2]:
        raise SessionError(
            "torn", f"byte {found.file[2]}", "expected more pages, found the end of the file"
        )


def options_for(header: bytes, found: DbStamp) -> str:
    """The URI parameters to open a database with.

    Raises:
        SessionError: `empty`, `not_sqlite`, `torn`, `too_large` or `needs_agent`: it must not be
            opened.
    """
    if found.file[2] == 0:
        raise SessionError("empty", "byte 0", "expected a database, found an empty file")
    if not header.startswith(_MAGIC):
        raise SessionError("not_sqlite", "byte 0", "expected an SQLite database, found no such")
    _refuse_torn(header, found)
    if found.wal is not None and found.wal[2] > _LARGEST_WAL_BYTES:
        raise SessionError("too_large", "-wal", f"is larger than {_LARGEST_WAL_BYTES >> 20} MiB")
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
def opened(path: str, found: DbStamp, options: str, end: float) -> Iterator[sqlite3.Connection]:
    """A connection that sees one state of the database; what SQLite opened is proven to be `found`.

    SQLite opens by path, so that a swap can only be noticed, not prevented.

    Args:
        path: Absolute.
        found: How it lay there when it was checked.
        options: What `options_for` said.
        end: When every statement is stopped, of the monotonic clock.

    Raises:
        SessionError: `replaced`: it opened another file; `busy`: its agent has ended meanwhile.
    """
    uri = f"{Path(path).as_uri()}?{options}"
    before = _own_files()
    if not found.is_closed and not (maybe_stat(f"{path}-wal") and maybe_stat(f"{path}-shm")):
        # SQLite would make them again, whatever the options say
        raise SessionError("busy", "file", "its agent ended just now")
    if "readonly_shm" in options and not _is_index(f"{path}-shm"):
        # SQLite would try it a hundred times, for ten seconds, and nothing stops that
        raise SessionError("busy", "-shm", "expected an index of its -wal, found none yet")
    connection = sqlite3.connect(
        uri, uri=True, timeout=_LOCKED_S, isolation_level=None, check_same_thread=False
    )
    try:
        connection.set_progress_handler(lambda: monotonic() >= end, _OPS_BETWEEN_LOOKS)
        connection.text_factory = _lenient
        for limit, value in _LIMITS.items():
            connection.setlimit(limit, value)
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("BEGIN")
        connection.execute("PRAGMA schema_version").fetchone()
        if found.file[:2] not in {
            identity for fd, identity in _own_files().items() if before.get(fd) != identity
        }:
            raise SessionError("replaced", "file", "was replaced between look and open")
        connection.execute("PRAGMA cache_size = -2000")  # the file itself may ask for any size
        yield connection
    finally:
        connection.close()


def _is_index(path: str) -> bool:
    """Whether a `-shm` begins with a header that SQLite would use: two equal copies with a right sum."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        copies = os.pread(fd, 2 * _INDEX_HEADER.size, 0)
    except OSError:
        return False
    finally:
        os.close(fd)
    first = copies[: _INDEX_HEADER.size]
    if len(first) < _INDEX_HEADER.size or copies != 2 * first:
        return False
    *words, want_1, want_2 = _INDEX_HEADER.unpack(first)
    sum_1 = sum_2 = 0
    for even, odd in zip(words[::2], words[1::2], strict=True):
        sum_1 = (sum_1 + even + sum_2) & 0xFFFFFFFF
        sum_2 = (sum_2 + odd + sum_1) & 0xFFFFFFFF
    return (sum_1, sum_2) == (want_1, want_2) and words[0] == _INDEX_VERSION and first[12] != 0


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
    """Turn whatever reading a hostile file raises into a `SessionError` with a stable code.

    Not SQLite's errors alone: its messages quote the file, so that Python may fail to decode them.
    """
    try:
        yield
    except SessionError:
        raise
    except sqlite3.Error as error:
        raise _error_of(error) from error
    except Exception as error:
        detail = f"reading it raised {type(error).__name__}"
        raise SessionError("damaged", "file", detail) from error


def _error_of(error: sqlite3.Error) -> SessionError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    match code:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return SessionError("locked", "file", "another program holds it")
        case sqlite3.SQLITE_NOTADB:
            return SessionError("not_sqlite", "file", "is no SQLite database, or encrypted")
        case sqlite3.SQLITE_CORRUPT:
            return SessionError("damaged", "file", "SQLite calls it malformed")
        case sqlite3.SQLITE_INTERRUPT:
            return SessionError("too_slow", "file", "it could not be read in time")
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_READONLY | sqlite3.SQLITE_IOERR:
            return SessionError("unreadable", "file", f"SQLite cannot read it ({_name(error)})")
    return SessionError("damaged", "file", f"SQLite cannot use it ({_name(error)})")


def _name(error: sqlite3.Error) -> str:
    return str(getattr(error, "sqlite_errorname", type(error).__name__))
