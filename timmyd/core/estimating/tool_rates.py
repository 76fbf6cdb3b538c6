"""PURE: the success rates of one tool: over all, by house, by shape, by both, by exact arguments."""

import msgspec

from timmyd.core.estimating.rates import Rate, SavedRate


class SavedToolRates(msgspec.Struct, array_like=True):
    """`ToolRates` as plain data; what cannot be theirs is refused when it is decoded."""

    rate: SavedRate
    houses: list[tuple[str, SavedRate]]
    shapes: list[tuple[str, SavedRate]]
    cells: list[tuple[tuple[str, str], SavedRate]]
    arguments: list[tuple[tuple[str, str], SavedRate]]


class ToolRates:
    """Over all calls; by house; by shape; by house and shape; by shape and arguments."""

    __slots__ = ("arguments", "cells", "houses", "rate", "shapes")

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self.houses: dict[str, Rate] = {}
        self.shapes: dict[str, Rate] = {}
        self.cells: dict[tuple[str, str], Rate] = {}
        self.arguments: dict[tuple[str, str], Rate] = {}

    def __len__(self) -> int:
        by_house, by_shape = len(self.houses), len(self.shapes)
        return 1 + by_house + by_shape + len(self.cells) + len(self.arguments)

    def save(self) -> SavedToolRates:
        """The whole state, as plain data."""
        return SavedToolRates(
            self.rate,
            list(self.houses.items()),
            list(self.shapes.items()),
            list(self.cells.items()),
            list(self.arguments.items()),
        )

    @classmethod
    def load(cls, saved: SavedToolRates) -> "ToolRates":
        """The inverse of `save`."""
        self = cls(saved.rate)
        self.houses.update(saved.houses)
        self.shapes.update(saved.shapes)
        self.cells.update(saved.cells)
        self.arguments.update(saved.arguments)
        return self
