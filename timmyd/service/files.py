"""Opens files that other users own, so that nothing they do to a path makes us read what is not theirs."""

import errno
import os
import stat
from collections.abc import Generator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from timmyd.service.refusal import FileRefusedError, Reason

__all__ = [
    "Directory",
    "Entry",
    "FileRefusedError",
    "Reason",
    "judge",
    "open_checked",
    "open_home",
    "read_checked",
]

_LOOK: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_READ: Final = os.O_RDONLY | _LOOK
_ENTER: Final = os.O_RDONLY | os.O_DIRECTORY | _LOOK
_WALK: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_LINKS_MOST: Final = 40
_CHUNK_BYTES: Final = 1 << 20


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One name of a directory as the scan saw it, nothing opened.

    Attributes:
        name: As the file system has it (surrogateescape): hostile, print it escaped.
        refusal: Why it will not be read; None for a file to open.
    """

    name: str
    device: int
    inode: int
    size_bytes: int
    mtime_ns: int
    refusal: Reason | None
    is_directory: bool


class Directory:
    """An open directory of one owner; everything below it must be that owner's too.

    It is held by descriptor, so renaming or replacing the path changes nothing for us. Ask
    `is_current` whether the path still leads here.
    """

    def __init__(self, fd: int, path: Path, status: os.stat_result) -> None:
        self.fd = fd
        self.path = path
        self.owner_uid = status.st_uid
        self.identity = (status.st_dev, status.st_ino)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the descriptor; calling it twice is harmless."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def is_current(self) -> bool:
        """Whether the path still leads to this very directory; False when it was removed or moved."""
        try:
            status = self.path.stat()
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self.identity

    def folder(self, name: str) -> "Directory":
        """Enter a subdirectory, never through a link.

        Raises:
            FileRefusedError: `is_link`, `not_directory`, `foreign_owner`, `vanished`, `unreadable`.
        """
        _check_name(name)
        try:
            fd = os.open(name, _ENTER, dir_fd=self.fd)
        except OSError as exc:
            raise self._refusal(name, exc) from exc
        status = os.fstat(fd)
        if status.st_uid != self.owner_uid:
            os.close(fd)
            raise FileRefusedError(Reason.FOREIGN_OWNER, name)
        return Directory(fd, self.path / name, status)

    def scan(self, *, largest_bytes: int) -> Generator[Entry, None, None]:
        """Look at every name directly in here, lazily: take as many as a slice of the loop affords.

        Raises:
            FileRefusedError: The directory itself cannot be listed (`unreadable`, `vanished`): that
                is "could not look", never "is empty".
        """
        owner = self.owner_uid
        try:
            # a descriptor of its own: scandir shares the offset of the one it is given
            fd = os.open(".", _ENTER, dir_fd=self.fd)
        except OSError as exc:
            raise FileRefusedError.of(exc, self.path.name) from exc
        try:
            with os.scandir(fd) as names:
                for found in names:
                    try:
                        status = found.stat(follow_symlinks=False)
                    except OSError:
                        continue  # gone since it was listed; the next scan tells
                    yield Entry(
                        found.name,
                        status.st_dev,
                        status.st_ino,
                        status.st_size,
                        status.st_mtime_ns,
                        judge(status, owner_uid=owner, largest_bytes=largest_bytes),
                        stat.S_ISDIR(status.st_mode),
                    )
            # the C library calls the list of a removed directory empty
            if os.fstat(fd).st_nlink == 0:
                _refuse(Reason.VANISHED, self.path.name)
        except OSError as exc:
            raise FileRefusedError.of(exc, self.path.name) from exc
        finally:
            os.close(fd)

    def open(self, name: str, *, largest_bytes: int, seen: Entry | None = None) -> int:
        """Open one regular file of the owner for reading; the caller closes the descriptor.

        The name is looked at first, so that opening a device or a FIFO is not even tried; what
        counts is the look at the open descriptor, which no swap in between can change.

        Args:
            name: A name directly in here.
            largest_bytes: Files above this are refused.
            seen: The entry that the scan gave; another inode under the same name is `replaced`.

        Raises:
            FileRefusedError: With the reason as its code.
        """
        _check_name(name)
        try:
            before = os.stat(name, dir_fd=self.fd, follow_symlinks=False)
            _refuse(judge(before, owner_uid=self.owner_uid, largest_bytes=largest_bytes), name)
            fd = os.open(name, _READ, dir_fd=self.fd)
        except OSError as exc:
            raise self._refusal(name, exc) from exc
        try:
            status = os.fstat(fd)
            _refuse(judge(status, owner_uid=self.owner_uid, largest_bytes=largest_bytes), name)
            if seen is not None and (status.st_dev, status.st_ino) != (seen.device, seen.inode):
                _refuse(Reason.REPLACED, name)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _refusal(self, name: str, exc: OSError) -> FileRefusedError:
        if exc.errno == errno.ENOTDIR:  # what O_DIRECTORY says of a link, too
            try:
                mode = os.stat(name, dir_fd=self.fd, follow_symlinks=False).st_mode
            except OSError as gone:
                return FileRefusedError.of(gone, name)
            if stat.S_ISLNK(mode):
                return FileRefusedError(Reason.IS_LINK, name)
        return FileRefusedError.of(exc, name)


def judge(status: os.stat_result, *, owner_uid: int, largest_bytes: int) -> Reason | None:
    """Why a file of this status is not read; None if it may be."""
    if not stat.S_ISREG(status.st_mode):
        return Reason.IS_LINK if stat.S_ISLNK(status.st_mode) else Reason.NOT_REGULAR
    if status.st_uid != owner_uid:
        return Reason.FOREIGN_OWNER
    if status.st_nlink != 1:
        return Reason.SEVERAL_LINKS if status.st_nlink else Reason.VANISHED
    return Reason.TOO_LARGE if status.st_size > largest_bytes else None


def open_home(path: Path) -> Directory:
    """Open a Hermes home, or a directory of sessions, as the root of what its owner shows us.

    Links on the way are followed only if nobody could have laid them to lead us astray: a link
    must belong to root, to us, or to the owner of the directory that it ends in. So an operator's
    /home may be a link, and a user's home may be a link of theirs to a directory of theirs.

    Raises:
        FileRefusedError: `vanished` (not there yet), `foreign_owner`, `not_directory`, `unreadable`.
    """
    trusted = {0, os.geteuid()}
    laid_by: set[int] = set()
    try:
        walked = _walk(path.absolute(), laid_by)
        try:
            status = os.fstat(walked)
            if not stat.S_ISDIR(status.st_mode):
                raise FileRefusedError(Reason.NOT_DIRECTORY, path.name)
            if not laid_by <= trusted | {status.st_uid}:
                raise FileRefusedError(Reason.FOREIGN_OWNER, path.name)
            fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=walked)
        finally:
            os.close(walked)
    except OSError as exc:
        raise FileRefusedError.of(exc, path.name) from exc
    return Directory(fd, path, status)


def open_checked(home: Directory, parts: Sequence[str], *, largest_bytes: int) -> int:
    """Open the file at `parts` below `home`, component by component; the caller closes it.

    Raises:
        FileRefusedError: For the first component that is not what it should be.
    """
    *folders, name = parts
    inner = home
    try:
        for folder in folders:
            outer, inner = inner, inner.folder(folder)
            if outer is not home:
                outer.close()
        return inner.open(name, largest_bytes=largest_bytes)
    finally:
        if inner is not home:
            inner.close()


def read_checked(fd: int, *, largest_bytes: int, name: str = "") -> bytes:
    """Read an open file whole, from its start, and stop at the limit even if it grows meanwhile.

    Raises:
        FileRefusedError: `too_large`, or `unreadable` on an input error.
    """
    chunks: list[bytes] = []
    read = 0
    try:
        while chunk := os.pread(fd, min(_CHUNK_BYTES, largest_bytes + 1 - read), read):
            chunks.append(chunk)
            read += len(chunk)
            if read > largest_bytes:
                raise FileRefusedError(Reason.TOO_LARGE, name)
    except OSError as exc:
        raise FileRefusedError.of(exc, name) from exc
    return b"".join(chunks)


def _walk(path: Path, laid_by: set[int]) -> int:
    """Follow `path` from the root by descriptors; adds to `laid_by` the owner of each link met."""
    ahead = list(reversed(path.parts[1:]))
    at = os.open("/", _WALK | os.O_DIRECTORY)
    links = 0
    try:
        while ahead:
            step = os.open(ahead.pop(), _WALK, dir_fd=at)
            status = os.fstat(step)
            if not stat.S_ISLNK(status.st_mode):
                at = _swap(at, step)
                continue
            laid_by.add(status.st_uid)
            links += 1
            try:
                if links > _LINKS_MOST:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
                target = Path(os.readlink("", dir_fd=step))
            finally:
                os.close(step)
            if target.is_absolute():
                at = _swap(at, os.open("/", _WALK | os.O_DIRECTORY))
            ahead.extend(reversed([part for part in target.parts if part != "/"]))
    except BaseException:
        os.close(at)
        raise
    return at


def _swap(old: int, new: int) -> int:
    os.close(old)
    return new


def _refuse(reason: Reason | None, name: str) -> None:
    if reason is not None:
        raise FileRefusedError(reason, name)


def _check_name(name: str) -> None:
    if not name or "/" in name or "\0" in name or name in {".", ".."}:
        raise FileRefusedError(Reason.BAD_NAME, name)
