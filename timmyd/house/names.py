"""PURE: a document in the terms of its reader: under the names that the reader's own homes claim.

A house belongs to one owner, so a home may have another house than the one that it asked for;
`names` of the document tells (uid → claimed house → house). Who is told `ezra` and has `bob-ezra`
reads what is published of `bob-ezra` as `ezra`, and nothing of the `ezra` that another owner has.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from .policy import Policy

_BY_HOUSE = ("predictions", "retries", "remedies", "budgets", "own")
_BY_KEY = ("values", "why")
_WITH_HOUSE = ("breakers", "notices")

Seen = Callable[[str], "str | None"]


def as_seen_by(policy: Policy, uid: int, house: str | None = None) -> Policy:
    """The document as its reader should read it.

    Args:
        policy: As published.
        uid: The reader's.
        house: What the reader calls itself, if it is a house.
    """
    own = policy.names.get(str(uid), {})
    mine = {real: claimed for claimed, real in own.items()}
    claims = {*own, house} - mine.keys()
    others = {
        real for who, table in policy.names.items() if who != str(uid) for real in table.values()
    }
    hidden = claims & others
    if not hidden and all(real == claimed for real, claimed in mine.items()):
        return policy

    def seen(name: str) -> str | None:
        return None if name in hidden else mine.get(name, name)

    changed: dict[str, Any] = {"routes": _routes(policy.routes, seen)}
    for field in _BY_HOUSE:
        if field in policy._fields:
            changed[field] = _renamed(getattr(policy, field), seen)
    for field in _BY_KEY:
        changed[field] = _keys(getattr(policy, field), seen)
    for field in _WITH_HOUSE:
        if field in policy._fields:
            changed[field] = _items(getattr(policy, field), seen)
    return policy._replace(**changed)


def _renamed(table: Mapping[str, Any], seen: Seen) -> Mapping[str, Any]:
    found = {seen(house): value for house, value in table.items()}
    return MappingProxyType({house: value for house, value in found.items() if house is not None})


def _keys(table: Mapping[str, Any], seen: Seen) -> Mapping[str, Any]:
    found = {}
    for key, value in table.items():
        house, _, name = key.partition(".")
        known = seen(house)
        if known is not None:
            found[f"{known}.{name}"] = value
    return MappingProxyType(found)


def _items(items: tuple[Mapping[str, Any], ...], seen: Seen) -> tuple[Mapping[str, Any], ...]:
    renamed = ({**item, "house": seen(item["house"])} for item in items)
    return tuple(item for item in renamed if item["house"] is not None)


def _routes(routes: Mapping[str, Any], seen: Seen) -> Mapping[str, Any]:
    found = {}
    for tool, route in routes.items():
        house = seen(route["house"])
        if house is None:
            continue
        weights = _renamed(route.get("weights") or {}, seen)
        found[tool] = {**route, "house": house, **({"weights": weights} if weights else {})}
    return MappingProxyType(found)
