"""PURE: the published figures that come closest to a call, and what they say in words; for both sides."""

from collections.abc import Mapping
from typing import Any

from .shape import signature

NO_DATA = "Insufficient data for prediction"
TOOL, SHAPE, ARGUMENTS = "same tool and house", "same shape", "same arguments"
_SUMMED_UP = ((0.9, "excellent track record"), (0.7, "good track record"), (0.5, "mixed results"))
_POOR = "poor track record, consider alternatives"


def nearest(
    item: Mapping[str, Any], short: str | None, params: object
) -> tuple[Mapping[str, Any], str]:
    """The figures of a call, and of what group of calls they are.

    Args:
        item: What is published of the tool in the house (CONTRACT §3).
        short: The shape of the call; None for all calls of the tool.
        params: Its arguments; None where only the shape is known.
    """
    like = item.get("shapes", {}).get(short)
    if like is None:
        return item, TOOL
    exact = like.get("arguments")
    if exact and params is not None:
        found = exact.get(signature(params))
        if found is not None:
            return found, ARGUMENTS
    return like, SHAPE


def in_words(figures: Mapping[str, Any], group: str) -> str:
    """What published figures say, in the words of the original."""
    success = float(figures["success"])
    words = next((words for least, words in _SUMMED_UP if success > least), _POOR)
    low, high, count = figures["low"], figures["high"], figures["samples"]
    said = f"Based on {count:.0f} similar executions ({group}): {words}, {low:.0%} to {high:.0%}"
    recent = figures.get("recent")
    if recent is None:
        return said
    return f"{said}; in the last two days {recent['success']:.0%} of {recent['samples']:.0f}"
