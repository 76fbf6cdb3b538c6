"""PURE: which house an owner's calls count for (CONTRACT §1): a house belongs to one owner."""

import re
import zlib
from collections.abc import Callable, Iterable
from itertools import count
from typing import Final, Literal

import msgspec

UNKNOWN: Final = "unknown"
"""The owner of what nobody is known to own: a home that is gone, a history that was imported."""

HouseState = Literal["active", "quarantined", "forgotten"]

NAMES_MOST: Final = 64
"""Names that are published of one owner."""

_LONGEST: Final = 32
_UID_BITS: Final = 0xFFFFFF
_FORBIDDEN: Final = re.compile(r"[^a-z0-9_-]+")


class OwnedHouse(msgspec.Struct, frozen=True, kw_only=True):
    """A house and whose it is.

    Attributes:
        name: Unique.
        owner: The user's name, the uid as text where it has none, `UNKNOWN` until its home is seen.
        uid: Of the owner, None where it is not known.
        claimed: The name that its home asked for; another one than `name` where that was taken.
        first_seen: Unix seconds, None where it is not known.
        state: `quarantined` is counted and shown, not learned from; `forgotten` is taken out.
    """

    name: str
    owner: str = UNKNOWN
    uid: int | None = None
    claimed: str | None = None
    first_seen: float | None = None
    state: HouseState = "active"


def house_for(claimed: str, owner: str, uid: int | None, is_taken: Callable[[str], bool]) -> str:
    """The house that calls count for whose home claims to be `claimed`, at its first sight.

    A free name is theirs; a taken one becomes `<user>-<name>`, and where that is too long or taken
    as well it ends in `-` and 6 hex digits of the uid.

    Args:
        claimed: The name that settings, a profile or a caller give.
        owner: Whose home it is.
        uid: Of the owner; None where only the name is known.
        is_taken: Whether another owner has a house.
    """
    if not is_taken(claimed):
        return claimed
    user = _FORBIDDEN.sub("-", owner.lower()).strip("-") or "user"
    full = f"{user}-{claimed}"
    if len(full) <= _LONGEST and not is_taken(full):
        return full
    number = zlib.crc32(owner.encode("utf-8", "replace")) if uid is None else uid
    for n in count(1):
        tail = f"{'' if n == 1 else f'-{n}'}-{number & _UID_BITS:06x}"
        name = full[: _LONGEST - len(tail)] + tail
        if not is_taken(name):
            return name
    raise AssertionError  # `count` has no end


def published_names(houses: Iterable[OwnedHouse]) -> dict[str, dict[str, str]]:
    """`names` of the policy: by uid the house that a home claims, and the one that it has.

    Empty where there is one owner, who has what is claimed. Of each owner the renamed houses come
    first, so that a limit costs only names that are what they claim to be.
    """
    found: dict[str, dict[str, str]] = {}
    for house in sorted(houses, key=lambda house: (house.name == house.claimed, house.name)):
        if house.uid is not None and house.claimed is not None:
            table = found.setdefault(str(house.uid), {})
            if len(table) < NAMES_MOST:
                table[house.claimed] = house.name
    return found if len(found) > 1 else {}
