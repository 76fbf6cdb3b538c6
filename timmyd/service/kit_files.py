"""The files of a Hermes home that an installation touches: read without waiting, replaced whole."""

import ctypes
import errno
import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from timmyd.errors import TimmyError
from timmyd.service.plain import open_plain

CONFIG: Final = "config.yaml"
_CONFIG_BYTES: Final = 8 * 1024 * 1024
_FRESH: Final = ".timmy-kit-new"
_OLD: Final = ".timmy-kit-old"
_LEFT_OVER: Final = re.compile(r"\.timmy-(?:kit-(?:new|old)|[a-z0-9_]{8}(?:-old)?)")
_AT_FDCWD: Final = -100
_RENAME_EXCHANGE: Final = 2
_CANNOT_EXCHANGE: Final = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP})


class KitError(TimmyError):
    """The kit cannot be put in or taken out; nothing was changed."""

    def __init__(self, home: Path, detail: str, hint: str) -> None:
        self.home = home
        self.sentence = detail
        super().__init__(f"{home}: {detail}\n  hint: {hint}")


class ConfigFile(NamedTuple):
    """A config.yaml as it is on the disk.

    Attributes:
        data: Its bytes; None: there is none.
        names: How many names (hard links) it has.
    """

    data: bytes | None
    names: int = 1


@contextmanager
def alone(home: Path) -> Iterator[None]:
    """Keep every other installation out of a home.

    Raises:
        KitError: Another one is at work.
    """
    fd = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise KitError(home, "another installation is at work", "try again") from None
        yield
    finally:
        os.close(fd)


def read_config(home: Path) -> ConfigFile:
    """The config.yaml of a home, through a link where it is one.

    Raises:
        KitError: It is there and cannot be read.
    """
    path = home / CONFIG
    try:
        with open_plain(path) as file:
            return ConfigFile(file.read(_CONFIG_BYTES), os.fstat(file.fileno()).st_nlink)
    except FileNotFoundError:
        if not path.is_symlink():
            return ConfigFile(None)
        words = f"{CONFIG} is a link to {path.readlink()}, which is not there"
        raise KitError(home, words, "mend the link, or remove it") from None
    except OSError as error:
        words = f"{CONFIG} cannot be read: {error.strerror}"
        raise KitError(home, words, "mend the file, or name the right --home") from None


def write_config(home: Path, data: bytes, *, before: bytes | None) -> None:
    """Replace the config.yaml whole, with its mode; a link stays one, its target is replaced.

    Args:
        home: The Hermes home.
        data: The new text.
        before: What it says now; None: it is not there.

    Raises:
        KitError: It says something else: Hermes, or the user, has just written it.
        OSError: The disk refused; the old one stands.
    """
    try:
        _write_config(home, data, before)
    except OSError as error:
        error.filename = str(home / CONFIG)  # rather than that of a file that nobody knows
        raise


def _write_config(home: Path, data: bytes, before: bytes | None) -> None:
    target = (home / CONFIG).resolve()
    fd, name = tempfile.mkstemp(prefix=".timmy-", dir=target.parent)
    fresh = Path(name)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            with suppress(FileNotFoundError):
                info = target.stat()
                with suppress(PermissionError):
                    os.fchown(fd, info.st_uid, info.st_gid)
                os.fchmod(fd, stat.S_IMODE(info.st_mode))
            file.flush()
            os.fsync(fd)
        if read_config(home).data != before:
            raise KitError(home, f"{CONFIG} has just changed", "run the command again")
        fresh.replace(target)
        _sync(target.parent)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def replace_folder(home: Path, folder: Path, files: Mapping[str, bytes]) -> None:
    """Give a folder new content in one step, where the file system can: a crash leaves the old or the new.

    Until `clear_left_overs` the old one can be brought back by `restore_folder`.

    Raises:
        OSError: The disk refused; `restore_folder` brings back what was there.
    """
    clear_left_overs(home, folder)
    fresh, old = home / _FRESH, home / _OLD
    fresh.mkdir(mode=0o755)
    for name, data in files.items():
        with (fresh / name).open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    _sync(fresh)
    existed = folder.exists()
    if existed and _exchange(fresh, folder):
        fresh.rename(old)
    else:
        if existed:
            folder.rename(old)
        fresh.rename(folder)
    _sync(folder.parent)


def restore_folder(home: Path, folder: Path, *, existed: bool) -> None:
    """Bring back what `replace_folder` replaced, or nothing where nothing `existed`."""
    old = home / _OLD
    if not existed:
        shutil.rmtree(folder, ignore_errors=True)
    if old.exists() and not (folder.exists() and _exchange(old, folder)):
        shutil.rmtree(folder, ignore_errors=True)
        old.rename(folder)
    clear_left_overs(home, folder)


def place_of(home: Path, folder: Path) -> Path:
    """Where a folder is: in its place, or set aside by an installation that was killed there."""
    return home / _OLD if not folder.exists() and (home / _OLD).is_dir() else folder


def remove_folder(home: Path, folder: Path) -> None:
    """Take a folder away in one step."""
    clear_left_overs(home, folder)
    folder.rename(home / _FRESH)
    clear_left_overs(home, folder)


def clear_left_overs(home: Path, folder: Path) -> None:
    """Remove what is not needed any more or a killed installation left; an old kit comes back if the new one is not there."""
    if not folder.exists() and (home / _OLD).is_dir() and folder.parent.is_dir():
        (home / _OLD).rename(folder)
    for path in list(home.iterdir()):
        if _LEFT_OVER.fullmatch(path.name):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two names in one step (renameat2(2)); False where the system has no such step."""
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    if call(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _CANNOT_EXCHANGE:
        return False
    raise OSError(number, os.strerror(number), str(other))


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
