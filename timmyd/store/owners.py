"""Whose each house is: one row a house."""

import sqlite3
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from typing import Any

import msgspec

from timmyd.core.ownership import UNKNOWN, HouseState, OwnedHouse, house_for
from timmyd.house.keys import ROUTING

_COLUMNS = "name, owner, uid, claimed, first_seen, state"
_Connect = Callable[[], AbstractContextManager[sqlite3.Connection]]


class Owners:
    """The houses of a database, each with its owner.

    Attributes:
        version: Grows when this process changes a house; what was read before may be wrong then.
    """

    def __init__(self, *, reading: _Connect, writing: _Connect) -> None:
        self._reading = reading
        self._writing = writing
        self.version = 0

    def all(self) -> dict[str, OwnedHouse]:
        """All houses, by name."""
        with self._reading() as connection:
            rows = connection.execute(f"SELECT {_COLUMNS} FROM houses ORDER BY name")  # noqa: S608 - constants
            return {row[0]: _house(row) for row in rows}

    def called(self) -> dict[str, set[str]]:
        """What each house has called: its tools, and its models as `model:NAME`; {} for one without calls."""
        found: dict[str, set[str]] = {name: set() for name in self.all()}
        query = """SELECT DISTINCT house, tool FROM combos
            UNION SELECT DISTINCT house, 'model:' || model FROM combos WHERE model <> ''"""
        with self._reading() as connection:
            for house, name in connection.execute(query):
                found.setdefault(house, set()).add(name)
        return found

    def of(self, house: str) -> str:
        """The owner of a house, `UNKNOWN` where nobody is known to own it."""
        with self._reading() as connection:
            found = _named(connection, house)
        return UNKNOWN if found is None else found.owner

    def claim_of(self, claimed: str, *, owner: str, uid: int | None) -> OwnedHouse | None:
        """The house that an owner already has for what a home claims, with nothing to write down."""
        with self._reading() as connection:
            found = _claim(connection, claimed, owner, uid)
        return found if found is not None and (found.owner, found.uid) == (owner, uid) else None

    def has_home(self, house: str, home: str) -> bool:
        """Whether a session of this home was counted for a house."""
        query = """SELECT EXISTS (SELECT 1 FROM names n JOIN sessions s ON s.home = n.id
            JOIN lineages l ON l.id = s.lineage WHERE n.name = ? AND l.house = ?)"""
        key = home.encode("utf-8", "backslashreplace").decode()
        with self._reading() as connection:
            return bool(connection.execute(query, (key, house)).fetchone()[0])

    def settle(
        self,
        claimed: str,
        *,
        owner: str,
        uid: int | None,
        now: float,
        adopts: bool = True,
        reserved: Collection[str] = (),
    ) -> OwnedHouse:
        """The house of an owner's home that claims to be `claimed`; it is theirs from now on.

        Args:
            claimed: A house's name.
            owner: Whose home it is.
            uid: Of the owner.
            now: Unix seconds, for a house that is seen for the first time.
            adopts: A house that nobody is known to own may become theirs.
            reserved: Names that are free for nobody who has not got them yet.
        """
        with self._writing() as connection:
            found = settle_house(
                connection, claimed, owner, uid, now=now, adopts=adopts, reserved=reserved
            )
        self.version += 1
        return found

    def set_state(self, house: str, state: HouseState) -> bool:
        """Quarantine, forget or release a house; False if there is none of this name."""
        with self._writing() as connection:
            query = "UPDATE houses SET state = ? WHERE name = ?"
            done = connection.execute(query, (state, house)).rowcount > 0
        self.version += 1
        return done


def settle_house(
    connection: sqlite3.Connection,
    claimed: str,
    owner: str,
    uid: int | None,
    *,
    now: float,
    adopts: bool = True,
    reserved: Collection[str] = (),
) -> OwnedHouse:
    """`Owners.settle` within a transaction."""

    def is_taken(name: str) -> bool:
        house = _named(connection, name)
        if name == ROUTING:
            return True  # its keys are nobody's
        if house is None:
            return name in reserved
        if house.owner == UNKNOWN:
            return not adopts or name in reserved
        return not _is_theirs(house, owner, uid)

    known = _claim(connection, claimed, owner, uid)
    name = house_for(claimed, owner, uid, is_taken) if known is None else known.name
    known = _named(connection, name)
    found = OwnedHouse(name=name) if known is None else known
    settled = msgspec.structs.replace(
        found,
        owner=owner if found.owner == UNKNOWN or uid is not None else found.owner,
        uid=found.uid if uid is None else uid,
        claimed=found.claimed or claimed,
        first_seen=now if found.first_seen is None else found.first_seen,
    )
    if settled != known:
        connection.execute(
            f"INSERT OR REPLACE INTO houses ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)",  # noqa: S608 - constants
            msgspec.structs.astuple(settled),
        )
    return settled


def _is_theirs(house: OwnedHouse, owner: str, uid: int | None) -> bool:
    """By the uid, where both are known: a user may get another name."""
    if house.uid is not None and uid is not None:
        return house.uid == uid
    return house.owner == owner


def _claim(
    connection: sqlite3.Connection, claimed: str, owner: str, uid: int | None
) -> OwnedHouse | None:
    query = f"SELECT {_COLUMNS} FROM houses WHERE claimed = ?"  # noqa: S608 - constants
    houses = (_house(row) for row in connection.execute(query, (claimed,)))
    return next((h for h in houses if h.owner != UNKNOWN and _is_theirs(h, owner, uid)), None)


def _named(connection: sqlite3.Connection, name: str) -> OwnedHouse | None:
    query = f"SELECT {_COLUMNS} FROM houses WHERE name = ?"  # noqa: S608 - constants
    row = connection.execute(query, (name,)).fetchone()
    return None if row is None else _house(row)


def _house(row: tuple[Any, ...]) -> OwnedHouse:
    return OwnedHouse(**dict(zip(OwnedHouse.__struct_fields__, row, strict=True)))
