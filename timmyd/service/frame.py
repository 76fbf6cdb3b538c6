"""Whether the directories that lead to the sessions are still those that were entered: a few `stat`s.

Entering them afresh, component by component, is what decides; it costs a hundred times as much, and
between two days nothing changes. Mounts give no directory events, so events could not tell.
"""

import os
from collections.abc import Iterable

from timmyd.service.homes import PROFILES, Folder, Place

Look = tuple[tuple[int, ...], ...]


class Frame:
    """Remembers how the directories looked when they were last entered."""

    def __init__(self) -> None:
        self._paths: list[tuple[str, bool]] = []
        self._seen: Look | None = None

    def has_changed(self) -> bool:
        """Whether one of them appeared, went, was replaced, or may now be read by others.

        Also True without a `note`. Links are followed: this opens nothing and decides nothing.
        """
        return self._seen is None or self._look() != self._seen

    def note(self, places: Iterable[Place], folders: Iterable[Folder]) -> None:
        """They are about to be entered: remember which they are and how they look.

        Call it before, so that what changes meanwhile is a change.

        Args:
            places: Homes and directories of sessions; a new profile changes the list in `profiles`.
            folders: The directories of sessions that are known, there or not.
        """
        places = list(places)
        paths = {os.fspath(place.root): False for place in places}
        for folder in folders:
            paths |= {os.fspath(folder.path): False, os.fspath(folder.home): False}
        paths |= {os.fspath(place.root / PROFILES): True for place in places if place.is_home}
        self._paths = list(paths.items())
        self._seen = self._look()

    def forget(self) -> None:
        """Whatever comes next is a change."""
        self._seen = None

    def _look(self) -> Look:
        return tuple([_look_at(path, has_list=has_list) for path, has_list in self._paths])


def _look_at(path: str, *, has_list: bool) -> tuple[int, ...]:
    try:
        status = os.stat(path)  # noqa: PTH116 - a Path takes as long again
    except OSError as error:
        return (error.errno or 0,)
    look = (status.st_dev, status.st_ino, status.st_mode, status.st_uid)
    return (*look, status.st_mtime_ns, status.st_nlink) if has_list else look
