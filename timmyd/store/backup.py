"""A copy of the database while it is in use, and the way back to one."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from pathlib import Path

from timmyd.errors import StoreError
from timmyd.store.connection import connect_read_only, guarded
from timmyd.store.schema import VERSION, current_version

PAGES_A_STEP = 1_000
_SLEEP_S = 0.01
_MODE = 0o600
_SIDE_FILES = ("-wal", "-shm")

Elsewhere = Callable[[], AbstractContextManager[None]]
Progress = Callable[[int, int], None]
"""Told (pages done, pages in all)."""


def backup(
    source: Path,
    target: Path,
    *,
    elsewhere: Elsewhere = nullcontext,
    progress: Progress = lambda _done, _all: None,
) -> int:
    """Copy a database as it is at one instant, also while a daemon writes to it.

    The copy takes its name only when it is whole and on the disk; mode 0600, like the original.

    Args:
        source: The database.
        target: Where to; a file there is replaced.
        elsewhere: Entered where the copy is touched and not the database.
        progress: Called after each step.

    Returns:
        Bytes of the copy.

    Raises:
        StoreError: The database cannot be read, or the copy cannot be written.
    """
    fresh = target.with_name(f".{target.name}.new")
    with closing(connect_read_only(str(source), any_version=True)) as connection, elsewhere():
        if target.exists() and target.samefile(source):
            words = "a database is no backup of itself"
            raise StoreError(str(target), words, hint="name another file")
        _copy(connection, fresh, progress)
        try:
            fresh.replace(target)
            _sync_folder(target.parent)
        except OSError as error:
            raise StoreError(str(target), f"it cannot be written: {error.strerror}") from error
        return target.stat().st_size


def restore(
    source: Path,
    target: Path,
    *,
    suffix: str,
    elsewhere: Elsewhere = nullcontext,
    progress: Progress = lambda _done, _all: None,
) -> Path | None:
    """Put a backup in the place of the database; the caller sees to it that no daemon runs.

    At every moment either the old or the new database is there, whole. Pages that the old one had
    only in its write-ahead log are folded into it first, or, where it is too damaged for that, the
    log goes with it: a log must never lie beside a database that it does not belong to.

    Args:
        source: The backup; it is checked, then copied.
        target: The database.
        suffix: What the old database's name gets at its end.
        elsewhere: Entered where the backup is opened, by its owner's leave and not the database's.
        progress: Called after each step.

    Returns:
        The old database, None if there was none.

    Raises:
        StoreError: The backup is damaged, another program's or of a newer schema, or the disk
            refuses; the old database is in force.
    """
    with elsewhere():
        check_backup(source)
        opened = connect_read_only(str(source), any_version=True)
    fresh = target.with_name(f".{target.name}.new")
    with closing(opened) as connection:
        try:
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(str(target), f"its folder cannot be made: {error.strerror}") from error
        _copy(connection, fresh, progress)
    try:
        kept = _keep(target, suffix)
        fresh.replace(target)
        _sync_folder(target.parent)
    except OSError as error:
        raise StoreError(str(target), f"it cannot be replaced: {error.strerror}") from error
    return kept


def check_backup(path: Path) -> int:
    """The schema version of a backup that can be restored.

    Raises:
        StoreError: It is missing, damaged, another program's, or newer than this program.
    """
    name = str(path)
    if not path.is_file():
        raise StoreError(name, "there is no such file")
    with closing(connect_read_only(name, any_version=True)) as connection, guarded(name):
        version = current_version(connection, name)
        if version == 0:
            raise StoreError(name, "it is empty")
        if version > VERSION:
            raise StoreError(
                name,
                f"its schema is version {version}, this timmyd knows up to {VERSION}",
                hint="install the timmyd that made it, or a newer one",
            )
        if problems := _quick_check(connection):
            raise StoreError(name, f"it is damaged: {problems[0]}", hint="use another backup")
    return version


def check(path: Path) -> tuple[int, list[str]]:
    """(schema version, what SQLite's whole integrity check finds wrong) of a database; reads only.

    Raises:
        StoreError: It is missing or cannot be opened at all.
    """
    name = str(path)
    with closing(connect_read_only(name, any_version=True)) as connection, guarded(name):
        version = current_version(connection, name)
        rows = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(20)")]
    return version, [] if rows == ["ok"] else rows


def quick_check(path: Path) -> list[str]:
    """What SQLite's quick check finds wrong with a database; pages and order, not whole indexes.

    Raises:
        StoreError: It is missing or cannot be opened at all.
    """
    with closing(connect_read_only(str(path), any_version=True)) as connection, guarded(str(path)):
        return _quick_check(connection)


def _quick_check(connection: sqlite3.Connection) -> list[str]:
    rows = [str(row[0]) for row in connection.execute("PRAGMA quick_check(5)")]
    return [] if rows == ["ok"] else rows


def _copy(connection: sqlite3.Connection, fresh: Path, progress: Progress) -> None:
    """Copy into `fresh`, whole and synced, or leave nothing."""
    name = str(fresh)
    try:
        fresh.unlink(missing_ok=True)
        os.close(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _MODE))
    except OSError as error:
        raise StoreError(name, f"it cannot be written: {error.strerror}") from error
    try:
        with guarded(name), closing(sqlite3.connect(name, isolation_level=None)) as copy:
            connection.backup(
                copy,
                pages=PAGES_A_STEP,
                progress=lambda _status, left, total: progress(total - left, total),
                sleep=_SLEEP_S,
            )
            # one file, without a log beside it, that any SQLite can open where it lies
            copy.execute("PRAGMA journal_mode = DELETE")
        fd = os.open(fresh, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def _keep(target: Path, suffix: str) -> Path | None:
    """Give the old database a second name, with all that belongs to it."""
    if not target.exists():
        return None
    with suppress(sqlite3.Error), closing(sqlite3.connect(target)) as old:
        old.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    kept = target.with_name(target.name + suffix)
    for side in _SIDE_FILES:
        beside = target.with_name(target.name + side)
        if beside.exists():
            beside.rename(kept.with_name(kept.name + side))
    kept.hardlink_to(target)
    return kept


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
