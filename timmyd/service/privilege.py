"""Root acts in what another user owns as that user: their links, locks and journals then lead nowhere new.

A state belongs to the service's user, a Hermes home to its owner. Either could lay a link where root
is about to write, or a journal that makes SQLite remove a file of somebody else's choice.
"""

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_ROOT = 0


def stranger(folder: Path) -> os.stat_result | None:
    """The status of a directory that is not root's, where root looks at it; else None."""
    if os.geteuid() != _ROOT:
        return None
    try:
        status = folder.stat()
    except OSError:
        return None
    return status if status.st_uid != _ROOT else None


def user_name(uid: int) -> str:
    """The name of a user, the uid as text where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def become_owner(folder: Path) -> None:
    """Root acts as the owner of a directory from now on; `as_root` is the way back."""
    status = stranger(folder)
    if status is not None:
        os.setgroups([])
        os.setegid(status.st_gid)
        os.seteuid(status.st_uid)


@contextmanager
def as_owner(folder: Path) -> Iterator[None]:
    """Root acts as the owner of a directory in this block."""
    before = os.geteuid()
    groups = os.getgroups()
    become_owner(folder)
    try:
        yield
    finally:
        if os.geteuid() != before:
            _become_root(groups)


@contextmanager
def as_root() -> Iterator[None]:
    """Root that acts as another user acts as root in this block: on files that the operator named."""
    uid, gid, groups = os.geteuid(), os.getegid(), os.getgroups()
    if uid == _ROOT or os.getresuid()[2] != _ROOT:
        yield
        return
    _become_root(groups)
    try:
        yield
    finally:
        os.setegid(gid)
        os.seteuid(uid)


def _become_root(groups: list[int]) -> None:
    os.seteuid(_ROOT)
    os.setegid(_ROOT)
    os.setgroups(groups)
