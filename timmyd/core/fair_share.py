"""The room of the published document, shared by the owners of its houses.

What is too large loses entries, of those owners first who take the most room, down to one level
for all (max-min fairness: Bertsekas and Gallager, Data Networks, 1992, section 6.5.2). So an owner
who takes no more than an equal share loses nothing, however much the others fill in.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import msgspec

from timmyd.core.policy import PolicyDocument, as_json

_Table = dict[Any, Any]


class DocumentTooLargeError(ValueError):
    """What may never be left out (values, trials, reasons) alone passes the size limit."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__(f"the policy needs {size_bytes} bytes, which is more than is allowed")


class _Part(NamedTuple):
    """One entry that may go: where it is held, whose house it is of, how much it was used."""

    house: str
    used: float
    holder: _Table
    key: Any

    @property
    def size(self) -> int:
        """Bytes that leaving it out saves, at least."""
        name = len(_text(self.key)) + 1 if isinstance(self.key, str) else 0
        return name + len(_text(self.holder[self.key]))


def within(document: PolicyDocument, limit: int, owner_of: Callable[[str], str]) -> PolicyDocument:
    """The document, without what does not fit.

    Args:
        document: It stays as it is.
        limit: Bytes of its compact JSON, at most.
        owner_of: Whose a house is.

    Raises:
        DocumentTooLargeError: It does not fit even after everything that may go is gone.
    """
    data = as_json(document)
    if (size := len(_text(data))) <= limit:
        return document
    for key in ("notices", "breakers"):
        if key in data:
            data[key] = dict(enumerate(data[key]))
    done: set[str] = set()
    while size > limit:
        taken = _taken(data, owner_of)
        free = {owner: room for owner, room in taken.items() if owner not in done}
        if not free:
            raise DocumentTooLargeError(size)
        level = _level(sorted(free.values()), limit - size + sum(free.values()))
        over = {owner: room - level for owner, room in free.items() if room > level}
        done |= _shrink(data, over, owner_of)
        size = len(_text(_listed(data)))
    return msgspec.convert(_listed(data), PolicyDocument)


def _level(rooms: list[int], whole: int) -> int:
    """How much room each may take at most, so that all of them take `whole`; rooms ascend."""
    for number, room in enumerate(rooms):
        share = max(whole, 0) // (len(rooms) - number)
        if room > share:
            return share
        whole -= room
    return rooms[-1]


def _shrink(data: _Table, over: dict[str, int], owner_of: Callable[[str], str]) -> set[str]:
    """Leave out entries of owners, in the order of `_KINDS`, least used first.

    Args:
        data: What to shrink.
        over: By owner, how many bytes are to be saved; counted down.
        owner_of: Whose a house is.

    Returns:
        The owners who have nothing left that may go.
    """
    for parts in _KINDS:
        mine: dict[str, list[_Part]] = {}
        for part in parts(data):
            if over.get(owner := owner_of(part.house), 0) > 0:
                mine.setdefault(owner, []).append(part)
        for owner, found in mine.items():
            for part in sorted(found, key=lambda part: (part.used, str(part.key))):
                if over[owner] <= 0:
                    break
                over[owner] -= part.size
                del part.holder[part.key]
    return {owner for owner, rest in over.items() if rest > 0}


def _taken(data: _Table, owner_of: Callable[[str], str]) -> dict[str, int]:
    """The room that each owner takes with what may go."""
    rooms: dict[str, int] = {}
    for parts in (_remedies, _retries, _notices, _predictions, _breakers, _routes):
        for part in parts(data):
            owner = owner_of(part.house)
            rooms[owner] = rooms.get(owner, 0) + part.size
    return rooms


def _listed(data: _Table) -> _Table:
    lists = {k: list(data[k].values()) for k in ("notices", "breakers") if k in data}
    return {**data, **lists}


def _remedies(data: _Table) -> Iterator[_Part]:
    for house, failures in data.get("remedies", {}).items():
        for failure, shapes in failures.items():
            yield _Part(house, sum(one["samples"] for one in shapes), failures, failure)


def _arguments(data: _Table) -> Iterator[_Part]:
    for shape in _shapes(data):
        exact = shape.holder[shape.key].get("arguments", {})
        for name, figures in exact.items():
            yield _Part(shape.house, figures["samples"], exact, name)


def _shapes(data: _Table) -> Iterator[_Part]:
    for tool in _predictions(data):
        shapes = tool.holder[tool.key]["shapes"]
        for name, figures in shapes.items():
            yield _Part(tool.house, figures["samples"], shapes, name)


def _retries(data: _Table) -> Iterator[_Part]:
    for house, tools in data.get("retries", {}).items():
        for tool, item in tools.items():
            yield _Part(house, sum(item.get("samples", ())), tools, tool)


def _notices(data: _Table) -> Iterator[_Part]:
    for number, notice in data.get("notices", {}).items():
        yield _Part(notice["house"], notice["evidence"], data["notices"], number)


def _predictions(data: _Table) -> Iterator[_Part]:
    for house, tools in data["predictions"].items():
        for tool, figures in tools.items():
            yield _Part(house, figures["samples"], tools, tool)


def _breakers(data: _Table) -> Iterator[_Part]:
    for number, item in data["breakers"].items():
        yield _Part(item["house"], item.get("evidence") or 0.0, data["breakers"], number)


def _closed_breakers(data: _Table) -> Iterator[_Part]:
    return (part for part in _breakers(data) if part.holder[part.key]["state"] == "closed")


def _routes(data: _Table) -> Iterator[_Part]:
    for tool, item in data["routes"].items():
        yield _Part(item["house"], item["samples"], data["routes"], tool)


def _own(data: _Table) -> Iterator[_Part]:
    for house, kinds in data.get("own", {}).items():
        for entries in kinds.values():
            for name, item in entries.items():
                yield _Part(house, item["samples"], entries, name)


_KINDS: Final = (
    _remedies, _arguments, _shapes, _retries, _notices, _predictions, _closed_breakers,
    _own, _routes, _breakers,
)  # fmt: skip
"""What goes, in this order. The last three are beyond CONTRACT §3, so that one owner's never stop all publishing."""


def _text(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
