"""What binds which house, as it is published: the general choices, and those of single houses."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from timmyd.core.estimating.choose import Preference
from timmyd.engine.choices import Choices

HOUSES_MOST: Final = 32
ENTRIES_MOST: Final = 64
"""Of one unit so many houses are published with choices of their own, and so many of each kind."""

Entry = dict[str, Any]
Entries = dict[str, Entry]


class Bound(msgspec.Struct, frozen=True):
    """Choices by type of task and by tool, and by house where they are not the general ones.

    Attributes:
        models: What binds all houses, by type of task.
        routes: The same by tool.
        own: By house: `models` and `routes` that bind it where there is no general choice.
    """

    models: Entries
    routes: Entries
    own: dict[str, dict[str, Entries]]

    def routes_of(self, house: str) -> Entries:
        """The routes that bind a house."""
        return self.routes | self.own.get(house, {}).get("routes", {})


def bound(choices: Choices, broken: Mapping[str, frozenset[str]]) -> Bound:
    """All choices with enough evidence.

    Args:
        choices: What was learned.
        broken: For each tool the houses whose breaker is open: they are not chosen.
    """
    models: dict[str, Entries] = {}
    routes: dict[str, Entries] = {}
    for unit in choices.units():
        models[unit] = {
            task: model_entry(found)
            for task in _most_used(choices, choices.tasks(unit), unit)
            if (found := choices.model(task, unit)) is not None
        }
        routes[unit] = {
            tool: route_entry(found)
            for tool in _most_used(choices, choices.tools(unit), unit)
            if (found := choices.route(tool, unit, broken.get(tool, frozenset()))) is not None
        }
    general, ways = _common(list(models.values())), _common(list(routes.values()))
    own: dict[str, dict[str, Entries]] = {}
    left = dict.fromkeys(models, HOUSES_MOST)
    for house in sorted(choices.houses, key=lambda name: (-choices.used(name), name)):
        unit = choices.unit_of(house)
        left[unit] -= 1
        if left[unit] < 0:
            continue
        mine = {
            "models": {task: one for task, one in models[unit].items() if task not in general},
            "routes": {tool: one for tool, one in routes[unit].items() if tool not in ways},
        }
        if any(mine.values()):
            own[house] = {name: entries for name, entries in mine.items() if entries}
    return Bound(general, ways, own)


def _most_used(choices: Choices, kinds: set[str], unit: str) -> list[str]:
    """The most used types or tools, by name; all of them where nobody else needs the room."""
    if len(choices.units()) == 1:
        return sorted(kinds)
    most = sorted(kinds, key=lambda kind: (-choices.calls(kind, unit), kind))[:ENTRIES_MOST]
    return sorted(most)


def model_entry(found: Preference) -> Entry:
    """The choice of a model as it is published."""
    return {
        "model": found.leader,
        "success": found.success,
        "low": found.low,
        "samples": found.samples,
        "weights": found.weights,
        "best": found.best,
    }


def route_entry(found: Preference) -> Entry:
    """The choice of a house as it is published."""
    return {
        "house": found.leader,
        "confidence": found.success,
        "samples": found.samples,
        "weights": found.weights,
        "best": found.best,
    }


def _common(entries: Sequence[Entries]) -> Entries:
    """What is the same for all."""
    if not entries:
        return {}
    first, *others = entries
    return {k: one for k, one in first.items() if all(other.get(k) == one for other in others)}
