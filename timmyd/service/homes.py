"""Where Hermes homes, their profiles and their sessions lie, reached component by component."""

import os
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from timmyd.core.ownership import OwnedHouse
from timmyd.errors import StoreError
from timmyd.house.keys import FALLBACK_HOUSE
from timmyd.service.files import Directory, open_home
from timmyd.service.refusal import FileRefusedError, Reason
from timmyd.sources import TELEMETRY_FOLDER

PROFILES: Final = "profiles"
"""The folder of a Hermes home in which every profile has a home of its own."""

PROFILES_MOST: Final = 10_000
_ENTRIES_MOST: Final = 20_000
_SESSIONS: Final = "sessions"
_HOUSE_MOST: Final = 32


class Place(NamedTuple):
    """A Hermes home, or a directory of sessions alone, and whose work lies there.

    Attributes:
        root: The directory; nothing above or beside it is ever opened.
        house: The house of its sessions; a profile below it is a house of its own.
        is_home: Sessions lie in `sessions/` and in `profiles/*/sessions/` below.
        sources: The sources to read there.
    """

    root: Path
    house: str = FALLBACK_HOUSE
    is_home: bool = True
    sources: frozenset[str] = frozenset({"telemetry", "state_db", "snapshot", "session"})


HouseOf = Callable[[Place, Path, str, int], OwnedHouse]
"""The house of a home in a place, of what it claims to be, and of the uid that it belongs to."""


def as_claimed(_place: Place, _home: Path, claimed: str, uid: int) -> OwnedHouse:
    """What a home claims, for who only looks."""
    return OwnedHouse(name=claimed, uid=uid, claimed=claimed)


def house_in(
    place: Place, home: Path, claimed: str, directory: Directory, house_of: HouseOf
) -> str:
    """The house whose calls lie in an open directory.

    Raises:
        FileRefusedError: It is forgotten, or the database cannot take its name down just now.
        StoreError: The database cannot be used.
    """
    try:
        house = house_of(place, home, claimed, directory.owner_uid)
    except StoreError as error:
        if not error.retry:
            raise
        raise FileRefusedError(Reason.UNREADABLE, home.name, detail=error.detail) from error
    if house.state == "forgotten":
        raise FileRefusedError(Reason.FORGOTTEN, home.name)
    return house.name


class Folder:
    """One directory that is looked at: a sessions directory or its `timmy` subfolder.

    Attributes:
        path: As the operator would name it.
        home: The root that session ids are unique within.
        claimed: The house that the place says.
        house: Whose sessions these are; known for sure once it is opened.
        parts: How to get here from the root, component by component.
    """

    def __init__(self, place: Place, home: Path, claimed: str, parts: tuple[str, ...]) -> None:
        self.place = place
        self.home = home
        self.claimed = self.house = claimed
        self.parts = parts
        self.path = place.root.joinpath(*parts)
        self.sub = TELEMETRY_FOLDER if parts[-1:] == (TELEMETRY_FOLDER,) else ""
        self.opened: Directory | None = None
        self.refusal: FileRefusedError | None = None
        self.looked_at_mtime_ns = -1
        self._prefix = os.fsencode(self.path) + b"/"

    def key(self, name: str) -> bytes:
        """The ledger's key of a file in here."""
        return self._prefix + os.fsencode(name)

    def reopen(self, house_of: HouseOf) -> bool:
        """Make `opened` lead to the directory as it is now; True if it, or its house, is another one.

        Raises:
            StoreError: It cannot be written down whose it is.
        """
        before, house = self.opened, self.house
        is_same = before is not None and before.is_current() and self._settle(before, house_of)
        if is_same and self.house == house:
            return False
        self.close()
        self.looked_at_mtime_ns = -1
        try:
            opened = enter(self.place.root, self.parts)
        except FileRefusedError as refusal:
            self.refusal = refusal
            return before is not None
        if self._settle(opened, house_of):
            self.opened = opened
        else:
            opened.close()
        return self.opened is not None or before is not None

    def _settle(self, directory: Directory, house_of: HouseOf) -> bool:
        """Know the house; False, with the refusal, if nothing of it is to be read."""
        try:
            self.house = house_in(self.place, self.home, self.claimed, directory, house_of)
            self.refusal = None
        except FileRefusedError as refusal:
            self.refusal = refusal
        return self.refusal is None

    def close(self) -> None:
        """Let go of the directory."""
        if self.opened is not None:
            self.opened.close()
            self.opened = None


def enter(root: Path, parts: Iterable[str]) -> Directory:
    """Open a directory below a root, never through a link.

    Raises:
        FileRefusedError: It is not there, or not what it should be.
    """
    inner = open_home(root)
    for part in parts:
        outer = inner
        try:
            inner = outer.folder(part)
        finally:
            outer.close()
    return inner


def homes_of(
    place: Place, most: int = PROFILES_MOST, told: Callable[[int, str, str], None] | None = None
) -> Iterator[tuple[Path, str, tuple[str, ...]]]:
    """(home, house, parts from the root) of a place and, in a Hermes home, of every profile.

    Args:
        place: Where.
        most: Of many profiles only the first ones by name.
        told: Told owner, limit and house where there are more.
    """
    yield place.root, place.house, ()
    if not place.is_home:
        return
    try:
        profiles = enter(place.root, (PROFILES,))
    except FileRefusedError:
        return
    try:
        entries = islice(profiles.scan(largest_bytes=0), _ENTRIES_MOST)
        names = sorted(entry.name for entry in entries if entry.is_directory)
        usable = [(name, house) for name in names if (house := house_of_profile(name)) is not None]
        if told is not None and len(usable) > most:
            told(profiles.owner_uid, "profiles", place.house)
        for name, house in usable[:most]:
            yield place.root / PROFILES / name, house, (PROFILES, name)
    except FileRefusedError:
        return
    finally:
        profiles.close()


def folders_of(
    place: Place, most: int = PROFILES_MOST, told: Callable[[int, str, str], None] | None = None
) -> Iterator[Folder]:
    """Every directory of a place in which session files may lie, opened by none; see `homes_of`."""
    for home, house, parts in homes_of(place, most, told):
        sessions = (*parts, _SESSIONS) if place.is_home else parts
        yield Folder(place, home, house, sessions)
        yield Folder(place, home, house, (*sessions, TELEMETRY_FOLDER))


def house_of_profile(name: str) -> str | None:
    """The house of a Hermes profile: its name, in the letters that a house may have."""
    house = name.lower()
    allowed = all(c.isascii() and (c.isalnum() or c in "_-") for c in house)
    return house if house and allowed and len(house) <= _HOUSE_MOST else None
