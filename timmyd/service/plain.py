"""Opens a file by its path, and waits on nothing that may stand in its place."""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO, Final

_READ: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


def open_plain(path: Path) -> BinaryIO:
    """A regular file, opened for reading.

    Raises:
        OSError: It is not there, may not be read, or is a FIFO, a device or a directory.
    """
    fd = os.open(path, _READ)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "is not a regular file", str(path))
    return os.fdopen(fd, "rb")
