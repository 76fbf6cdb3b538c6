"""Whose each house is: one row a house."""

import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import msgspec

from timmyd.core.ownership import UNKNOWN, HouseState, OwnedHouse, house_for

_COLUMNS = "name, owner, uid, claimed, first_seen, state"
_Connect = Callable[[], AbstractContextManager[sqlite3.Connection]]


class Owners:
    """The houses of a database, each with its owner."""

    def __init__(self, *, reading: _Connect, writing: _Connect) -> None:
        self._reading = reading
        self._writing = writing

    def all(self) -> dict[str, OwnedHouse]:
        """All houses, by name."""
        with self._reading() as connection:
            rows = connection.execute(f"SELECT {_COLUMNS} FROM houses ORDER BY name")  # noqa: S608 - constants
            return {row[0]: _house(row) for row in rows}

    def of(self, house: str) -> str:
        """The owner of a house, `UNKNOWN` where nobody is known to own it."""
        with self._reading() as connection:
            return _owner_of(connection, house) or UNKNOWN

    def settle(
        self, claimed: str, *, owner: str, uid: int | None, now: float, adopts: bool = True
    ) -> OwnedHouse:
        """The house of an owner's home that claims to be `claimed`; it is theirs from now on.

        Args:
            claimed: A house's name.
            owner: Whose home it is.
            uid: Of the owner.
            now: Unix seconds, for a house that is seen for the first time.
            adopts: A house that nobody is known to own may become theirs.
        """
        with self._writing() as connection:
            return settle_house(connection, claimed, owner, uid, now=now, adopts=adopts)

    def set_state(self, house: str, state: HouseState) -> bool:
        """Quarantine, forget or release a house; False if there is none of this name."""
        with self._writing() as connection:
            query = "UPDATE houses SET state = ? WHERE name = ?"
            return connection.execute(query, (state, house)).rowcount > 0


def settle_house(
    connection: sqlite3.Connection,
    claimed: str,
    owner: str,
    uid: int | None,
    *,
    now: float,
    adopts: bool = True,
) -> OwnedHouse:
    """`Owners.settle` within a transaction."""
    query = f"SELECT {_COLUMNS} FROM houses WHERE claimed = ? AND owner = ?"  # noqa: S608 - constants
    row = connection.execute(query, (claimed, owner)).fetchone()
    found = None if row is None or owner == UNKNOWN else _house(row)
    if found is None:
        name = house_for(
            claimed, owner, uid, lambda house: _owner_of(connection, house), adopts=adopts
        )
        query = f"SELECT {_COLUMNS} FROM houses WHERE name = ?"  # noqa: S608 - constants
        row = connection.execute(query, (name,)).fetchone()
        found = OwnedHouse(name=name) if row is None else _house(row)
    settled = msgspec.structs.replace(
        found,
        owner=owner if found.owner == UNKNOWN else found.owner,
        uid=found.uid if uid is None else uid,
        claimed=found.claimed or claimed,
        first_seen=now if found.first_seen is None else found.first_seen,
    )
    if settled != found or row is None:
        connection.execute(
            f"INSERT OR REPLACE INTO houses ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)",  # noqa: S608 - constants
            msgspec.structs.astuple(settled),
        )
    return settled


def _house(row: tuple[Any, ...]) -> OwnedHouse:
    return OwnedHouse(**dict(zip(OwnedHouse.__struct_fields__, row, strict=True)))


def _owner_of(connection: sqlite3.Connection, house: str) -> str | None:
    row = connection.execute("SELECT owner FROM houses WHERE name = ?", (house,)).fetchone()
    return None if row is None else str(row[0])
