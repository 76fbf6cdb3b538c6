"""Whose calls count for which house: what a place claims, and what it gets (law 8)."""

import os
from collections.abc import Collection, Iterable
from pathlib import Path

from timmyd.clock import Clock
from timmyd.core.ownership import UNKNOWN, OwnedHouse
from timmyd.service.homes import Place
from timmyd.service.logs import EventLogger
from timmyd.service.privilege import user_name
from timmyd.store.owners import Owners


class Tenancy:
    """Gives every home its house. A house belongs to the first owner that is seen with it."""

    def __init__(
        self,
        owners: Owners,
        places: Iterable[Place],
        *,
        log: EventLogger,
        clock: Clock,
        operators: Collection[int] = (),
    ) -> None:
        """Know nobody yet.

        Args:
            owners: Where it stands whose each house is.
            places: What the operator named; a house of theirs is free for no profile of another.
            log: Told of a claim that another owner has.
            clock: Unix seconds.
            operators: Uids whose claims are the operator's own word, as in an import.
        """
        self._owners = owners
        self._reserved = frozenset(place.house for place in places)
        self._log = log
        self._clock = clock
        self._operators = frozenset(operators)
        self._known: dict[tuple[str, int, bool], OwnedHouse] = {}
        self._version = -1

    def house_of(self, place: Place, home: Path, claimed: str, uid: int) -> OwnedHouse:
        """The house that calls in a home count for.

        Raises:
            StoreError: A claim that is new cannot be written down.
        """
        if self._version != self._owners.version:
            self._version = self._owners.version
            self._known.clear()
        named = home == place.root
        key = (claimed, uid, named)
        house = self._known.get(key)
        if house is None:
            house = self._known[key] = self._settle(home, claimed, uid, named=named)
            self._version = self._owners.version
        return house

    def _settle(self, home: Path, claimed: str, uid: int, *, named: bool) -> OwnedHouse:
        name, now = user_name(uid), self._clock()
        owner = str(uid) if name == UNKNOWN else name
        if uid in self._operators:
            return self._owners.all().get(claimed) or OwnedHouse(name=claimed, claimed=claimed)
        known = self._owners.claim_of(claimed, owner=owner, uid=uid)
        if known is not None:
            return known
        adopts = named or uid == os.geteuid() or self._owners.has_home(claimed, str(home))
        house = self._owners.settle(
            claimed,
            owner=owner,
            uid=uid,
            now=now,
            adopts=adopts,
            reserved=() if named else self._reserved,
        )
        if house.name != claimed:
            self._log.event(
                "house_renamed", house=house.name, claimed=claimed, owner=owner, file=str(home)
            )
        return house
