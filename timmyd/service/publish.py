"""Whole-or-nothing replacement of a file that others read."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from timmyd.errors import PublishError

READABLE_BY_ALL = 0o644


class PolicyDisk(Protocol):
    """The operations of a replacement; a test lets each of them fail, also halfway."""

    def create(self, path: Path) -> int:
        """Make a new file that nobody else can open yet; returns its descriptor."""
        ...

    def write(self, fd: int, data: bytes) -> int:
        """Write some of `data`; returns how many bytes."""
        ...

    def sync(self, fd: int) -> None:
        """Bring the file's content and mode to the disk."""
        ...

    def replace(self, source: Path, target: Path) -> None:
        """Give the file the target's name, in one step."""
        ...

    def sync_folder(self, folder: Path) -> None:
        """Bring the change of names to the disk."""
        ...


class RealDisk:
    """The operating system's own.

    Attributes:
        mode: Of the file that is put in place.
    """

    mode = READABLE_BY_ALL

    def create(self, path: Path) -> int:
        """See `PolicyDisk`."""
        path.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        return os.open(path, flags, 0o600)

    def write(self, fd: int, data: bytes) -> int:
        """See `PolicyDisk`."""
        return os.write(fd, data)

    def sync(self, fd: int) -> None:
        """See `PolicyDisk`."""
        os.fchmod(fd, self.mode)
        os.fsync(fd)

    def replace(self, source: Path, target: Path) -> None:
        """See `PolicyDisk`."""
        source.replace(target)

    def sync_folder(self, folder: Path) -> None:
        """See `PolicyDisk`."""
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


REAL_DISK = RealDisk()


def publish(data: bytes, target: Path, *, disk: PolicyDisk = REAL_DISK) -> None:
    """Replace `target` so that every reader, at any moment and after any crash, sees all of one version.

    The temporary file has one fixed name: what a killed writer left is overwritten, not piled up.

    Raises:
        PublishError: The old version stands (or, if only the last sync failed, the new one).
    """
    temporary = target.with_name(f".{target.name}.new")
    try:
        fd = disk.create(temporary)
        try:
            rest = data
            while rest:
                rest = rest[disk.write(fd, rest) :]
            disk.sync(fd)
        finally:
            os.close(fd)
        disk.replace(temporary, target)
        disk.sync_folder(target.parent)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise PublishError(str(target), error.strerror or str(error)) from error
