"""Opening the database: settings of the connection, words for what SQLite says."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from timmyd.errors import StoreError
from timmyd.store.schema import check_version, current_version, migrate

MEMORY = ":memory:"
_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_BUSY_TIMEOUT_S = 10.0
_WAL_LIMIT_BYTES = 16 * 1024 * 1024
_PAGE_CACHE_KIB = 4096


@contextmanager
def guarded(path: str) -> Iterator[None]:
    """Turn what SQLite raises into a `StoreError` that says who must act."""
    try:
        yield
    except sqlite3.Error as error:
        raise _in_words(path, error) from error


def _in_words(path: str, error: sqlite3.Error) -> StoreError:
    code = getattr(error, "sqlite_errorcode", None)
    primary = None if code is None else code & 0xFF
    if primary in _BUSY:
        return StoreError(path, "another process is writing to it", retry=True)
    if primary == sqlite3.SQLITE_FULL:
        return StoreError(path, "the disk is full", retry=True, hint="free some space")
    if primary in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return StoreError(
            path, "it is damaged", hint="restore a backup: timmyd db restore FILE; or move it away"
        )
    if primary in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}:
        return StoreError(path, "it cannot be opened for writing", hint="check its owner and mode")
    if primary == sqlite3.SQLITE_IOERR:
        return StoreError(path, f"reading or writing failed ({error})", retry=True)
    return StoreError(path, str(error))


def identity_of(path: str) -> tuple[int, int] | None:
    """(device, inode) of a file, None if it is not there."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def connect(path: str, *, now: float, progress: Callable[[int], None]) -> sqlite3.Connection:
    """Open the database for its one writer, making and migrating it as needed.

    Raises:
        StoreError: It cannot be opened, is damaged, newer, or another program's.
    """
    if path != MEMORY:
        folder = Path(path).parent
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                path,
                f"its folder cannot be made: {error.strerror}",
                hint="choose another --state",
            ) from error
    with guarded(path):
        connection = sqlite3.connect(
            path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        try:
            if not current_version(connection, path):  # another program's file stays as it is
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA foreign_keys = OFF")
            connection.execute("PRAGMA temp_store = MEMORY")
            connection.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT_BYTES}")
            connection.execute(f"PRAGMA cache_size = -{_PAGE_CACHE_KIB}")
            migrate(connection, path, now=now, progress=progress)
        except BaseException:
            connection.close()
            raise
    return connection


def connect_read_only(path: str, *, any_version: bool = False) -> sqlite3.Connection:
    """Open an existing database for a command that only looks.

    Args:
        path: Where it is.
        any_version: Its tables are only copied or checked, so an older or newer schema will do.

    Raises:
        StoreError: It is missing, damaged or of another schema.
    """
    if path != MEMORY and not Path(path).exists():
        raise StoreError(path, "it does not exist yet", hint="start `timmyd run` first")
    with guarded(path):
        uri = Path(path).absolute().as_uri() + "?mode=ro"
        connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_TIMEOUT_S, isolation_level=None)
        try:
            connection.execute("PRAGMA query_only = ON")
            version = current_version(connection, path)
            if not version and path != MEMORY:
                raise StoreError(path, "it is empty", hint="start `timmyd run` first")
            if not any_version and path != MEMORY:
                check_version(version, path)
        except BaseException:
            connection.close()
            raise
    return connection
