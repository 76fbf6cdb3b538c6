"""PURE: what the parts that 0.2 added to the document must look like; one wrong field refuses all of it."""

from collections.abc import Callable, Mapping
from typing import Any

from .checks import refuse
from .keys import is_house, is_name, is_number

_MOST_STEPS = 64
_LARGEST = 1e15


def by_house(
    data: Mapping[str, Any], part: str, check: Callable[[object, str], None]
) -> Mapping[str, Mapping[str, Any]]:
    """Check a part that goes by houses; an absent one is empty.

    Args:
        data: The document.
        part: The name of the part.
        check: Checks what stands under one house, at the place that it is told.
    """
    table = data.get(part, {})
    if not isinstance(table, Mapping):
        refuse("shape", f"$.{part}: expected an object")
    for house, item in table.items():
        if not is_house(house) or not isinstance(item, Mapping):
            refuse("shape", f"$.{part}: expected an object a house")
        check(item, f"$.{part}.{house}")
    return table


def retries(item: object, place: str) -> None:
    """Curves by tool, and within them by shape."""
    for tool, curve in _named(item, place):
        _curve(curve, place)
        for _, like in _named(curve.get("shapes", {}), f"{place}.shapes"):
            _curve(like, place)
        if not is_name(tool):
            refuse("shape", f"{place}: a name is not fit to be shown")


def remedies(item: object, place: str) -> None:
    """By failure, a list of what helped."""
    if not isinstance(item, Mapping):
        refuse("shape", f"{place}: expected an object")
    for failure, found in item.items():
        if not is_name(failure, longest=320) or not isinstance(found, list):
            refuse("shape", f"{place}: expected a list a failure")
        for one in found:
            sane = (
                isinstance(one, Mapping) and is_name(one.get("tool")) and is_name(one.get("shape"))
            )
            if not sane or not is_number(one.get("success"), 0.0, 1.0):
                refuse("shape", f"{place}: not what was expected")


def budgets(item: object, place: str) -> None:
    """Caps and prices; what is no cap that we know is left alone."""
    if not isinstance(item, Mapping):
        refuse("shape", f"{place}: expected an object")
    for part in ("caps", "prices"):
        if not isinstance(item.get(part, {}), Mapping):
            refuse("shape", f"{place}.{part}: expected an object")


def _curve(curve: Mapping[str, Any], place: str) -> None:
    after, samples = curve.get("after", []), curve.get("samples", [])
    for figures, most in ((after, 1.0), (samples, _LARGEST)):
        lists = isinstance(figures, list) and len(figures) <= _MOST_STEPS
        if not lists or not all(is_number(one, 0.0, most) for one in figures):
            refuse("shape", f"{place}: expected numbers after each failure")


def _named(item: object, place: str) -> list[tuple[str, Mapping[str, Any]]]:
    if not isinstance(item, Mapping) or not all(isinstance(one, Mapping) for one in item.values()):
        refuse("shape", f"{place}: expected an object a name")
    return list(item.items())
