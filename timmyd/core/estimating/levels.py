"""PURE: how often calls succeed, counted in levels: tool, house, shape, exact arguments.

Every level is a success rate of its own (`rates`), shrunk to the level above it:

    all calls ─ tool ─┬─ (house, tool) ─┐
                      └─ (tool, shape) ─┴─ (house, tool, shape) ─ (tool, shape, arguments)

The level above a shape in a house is made of the three over it, additively in logits: what the house
makes of the tool, and what the shape does. How strongly a level is shrunk is learned from all keys of
the level. So each level by itself is what happens to its calls now, whatever the mix.
"""

from heapq import nlargest
from typing import Annotated, Any, Final, NamedTuple

import msgspec

from timmyd.core.estimating.rates import (
    COUNT,
    LAST,
    LONG_KEEP,
    USUAL,
    Belief,
    Posterior,
    Pull,
    Rate,
    SavedPull,
    added,
    additive,
    begin,
    believed,
    said,
    teach,
    told,
)
from timmyd.core.estimating.tool_rates import SavedToolRates, ToolRates

MOST_KEYS: Final = 20_000

_LEVELS: Final = ("tool", "house", "shape", "cell", "arguments")
_OF_ALL: Final = 2.0
"""What is usual is worth so many calls."""


class Hint(NamedTuple):
    """What others know of a tool, and of a shape of it."""

    tool: float
    shape: float | None


class Use(NamedTuple):
    """A group of calls, how many were counted, each once, and when the last of them ran.

    `shape` and `arguments` are "" for all of them.
    """

    calls: int
    last: float
    house: str
    tool: str
    shape: str = ""
    arguments: str = ""


class Saved(msgspec.Struct, array_like=True):
    """`Levels` as plain data; what cannot be theirs is refused when it is decoded."""

    all: tuple[float, float]
    pulls: Annotated[
        list[SavedPull], msgspec.Meta(min_length=len(_LEVELS), max_length=len(_LEVELS))
    ]
    tools: list[tuple[str, SavedToolRates]]


class Levels:
    """The counts of one owner; the same calls in the same order give the same bytes."""

    def __init__(self, *, most_keys: int = MOST_KEYS) -> None:
        """Start with nothing known.

        Args:
            most_keys: Rates kept; beyond it the tenth that was used longest ago is let go.
        """
        self.most_keys = most_keys
        self._size = 0
        self._good = self._seen = 0.0
        self._pulls = tuple(Pull() for _ in _LEVELS)
        self._tools: dict[str, ToolRates] = {}

    def __len__(self) -> int:
        return self._size

    # ----------------------------------------------------------------------- learning
    def learn(
        self, house: str, tool: str, shape: str, arguments: str, *, ok: bool, at: float, now: float
    ) -> None:
        """Take in one rated call.

        Args:
            house: Where it ran.
            tool: Its name.
            shape: The safe short form of its arguments.
            arguments: The digest of its exact arguments; "" where they are not known.
            ok: Whether it succeeded.
            at: When, Unix seconds; one that ran before others of its key is counted as that old.
            now: The clock; what claims to be of later is taken as of now.
        """
        at = min(at, now)
        above = self._usual()
        self._good = self._good * LONG_KEEP + (1.0 if ok else 0.0)
        self._seen = self._seen * LONG_KEEP + 1.0
        to_tool, to_house, to_shape, to_cell, to_arguments = self._pulls
        counts = self._tools.get(tool)
        if counts is None:
            by_tool = above
            counts = self._tools[tool] = ToolRates(begin(ok=ok, at=at))
            self._size += 1
        else:
            by_tool = teach(counts.rate, to_tool, above, ok=ok, at=at, now=now)

        step = self._step
        by_house = step(counts.houses, house, to_house, by_tool, ok=ok, at=at, now=now)
        by_shape = step(counts.shapes, shape, to_shape, by_tool, ok=ok, at=at, now=now)
        over = additive(by_house, by_shape, by_tool)
        cell = step(counts.cells, (house, shape), to_cell, over, ok=ok, at=at, now=now)
        if arguments:
            exact = (shape, arguments)
            step(counts.arguments, exact, to_arguments, cell, ok=ok, at=at, now=now)
        if self._size > self.most_keys:
            self._let_go()

    def _step(
        self, table: dict[Any, Rate], key: object, pull: Pull, above: float, *, ok: bool, at: float, now: float
    ) -> float:  # fmt: skip
        """Teach one rate; returns what it said before."""
        rate = table.get(key)
        if rate is not None:
            return teach(rate, pull, above, ok=ok, at=at, now=now)
        table[key] = begin(ok=ok, at=at)
        self._size += 1
        return above

    def _usual(self) -> float:
        return (self._good + _OF_ALL * USUAL) / (self._seen + _OF_ALL)

    def _let_go(self) -> None:
        """Let go of what was used longest ago; exact arguments go first, a tool never."""
        tables: list[dict[Any, Rate]] = [
            table
            for counts in self._tools.values()
            for table in (counts.arguments, counts.cells, counts.shapes, counts.houses)
        ]
        found = [
            (rate[LAST], number, key)
            for number, table in enumerate(tables)
            for key, rate in table.items()
        ]
        found.sort(key=lambda one: (one[0], one[1], str(one[2])))
        for _, number, key in found[: len(found) // 10 + 1]:
            del tables[number][key]
            self._size -= 1
        for name in [name for name, counts in self._tools.items() if not counts.houses]:
            self._size -= len(self._tools.pop(name))

    # ------------------------------------------------------------------------- asking
    def tell(
        self,
        house: str,
        tool: str,
        shape: str | None = None,
        arguments: str | None = None,
        *,
        hint: Hint | None = None,
    ) -> Posterior | None:
        """What is thought of calls: of the tool in the house, or of those with a shape, or exactly so.

        Args:
            house: Where they would run.
            tool: What would be called.
            shape: None for all of its calls.
            arguments: Digest of the exact arguments; None for all calls of the shape.
            hint: What others know, in place of what is usual here.

        Returns:
            None where no such call was counted.
        """
        counts = self._tools.get(tool)
        if counts is None:
            return None
        root = Belief(self._usual() if hint is None else hint.tool, 0.0)
        to_tool, to_house, to_shape, to_cell, to_arguments = self._pulls
        by_tool = believed(counts.rate, to_tool, root)
        entry = counts.houses.get(house)
        found = by_house = believed(entry, to_house, by_tool)
        if shape is not None:
            over = by_tool
            if hint is not None and hint.shape is not None:
                mean = additive(by_tool.mean, hint.shape, hint.tool)
                over = Belief(mean, by_tool.variance)
            by_shape = believed(counts.shapes.get(shape), to_shape, over)
            entry = counts.cells.get((house, shape))
            found = believed(entry, to_cell, added(by_house, by_shape, by_tool))
        if shape is not None and arguments is not None:
            entry = counts.arguments.get((shape, arguments))
            found = believed(entry, to_arguments, found)
        return None if entry is None else told(entry, found)

    def expect(self, house: str, tool: str, shape: str, arguments: str) -> float:
        """The bare probability of one call, also where nothing like it was counted."""
        levels: tuple[tuple[str, ...], ...] = ((shape, arguments), (shape,), ())
        for of in levels:
            found = self.tell(house, tool, *of)
            if found is not None:
                return found.mean
        counts = self._tools.get(tool)
        return said(None if counts is None else counts.rate, self._pulls[0], self._usual())

    def hint(self, tool: str, shape: str | None) -> Hint | None:
        """What is known here of a tool, for others; None where it is not known."""
        counts = self._tools.get(tool)
        if counts is None:
            return None
        by_tool = said(counts.rate, self._pulls[0], USUAL)
        found = None if shape is None else counts.shapes.get(shape)
        return Hint(by_tool, None if found is None else said(found, self._pulls[2], by_tool))

    def calls(self, tool: str) -> int:
        """How many calls of a tool were counted."""
        counts = self._tools.get(tool)
        return 0 if counts is None else int(counts.rate[COUNT])

    def most_used(self, least_calls: int, pairs: int, shapes: int, arguments: int) -> list[Use]:
        """The most used groups of calls: by house and tool, then by shape, then by exact arguments.

        Args:
            least_calls: Of a tool, and of a shape, to be among them.
            pairs: At most so many houses of tools.
            shapes: At most so many shapes in a house.
            arguments: At most so many exact arguments of a shape; each once for every house.
        """
        known = {tool: one for tool, one in self._tools.items() if one.rate[COUNT] >= least_calls}
        by_house = [
            Use(int(rate[COUNT]), rate[LAST], house, tool)
            for tool, counts in known.items()
            for house, rate in counts.houses.items()
        ]
        by_shape = [
            Use(int(rate[COUNT]), rate[LAST], house, tool, shape)
            for tool, counts in known.items()
            for (house, shape), rate in counts.cells.items()
            if rate[COUNT] >= least_calls and shape
        ]
        found = [*nlargest(pairs, by_house), *nlargest(shapes, by_shape)]
        houses: dict[tuple[str, str], list[str]] = {}
        for use in found[min(pairs, len(by_house)) :]:
            houses.setdefault((use.tool, use.shape), []).append(use.house)
        exact = nlargest(
            arguments,
            (
                (rate[COUNT], rate[LAST], tool, *key)
                for tool, counts in known.items()
                for key, rate in counts.arguments.items()
                if (tool, key[0]) in houses
            ),
        )
        found.extend(
            Use(int(calls), last, house, tool, shape, digest)
            for calls, last, tool, shape, digest in exact
            for house in houses[tool, shape]
        )
        return found

    # ------------------------------------------------------------------------ restart
    def save(self) -> Saved:
        """The whole state, as plain data."""
        return Saved(
            (self._good, self._seen),
            [pull.scores for pull in self._pulls],
            [(name, counts.save()) for name, counts in self._tools.items()],
        )

    @classmethod
    def load(cls, saved: Saved, *, most_keys: int = MOST_KEYS) -> "Levels":
        """The inverse of `save`; goes on bit for bit."""
        self = cls(most_keys=most_keys)
        self._good, self._seen = saved.all
        for pull, scores in zip(self._pulls, saved.pulls, strict=True):
            pull.set(scores)
        for name, kept in saved.tools:
            counts = self._tools[name] = ToolRates.load(kept)
            self._size += len(counts)
        return self
