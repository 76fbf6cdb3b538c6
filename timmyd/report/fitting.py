"""A table that keeps its numbers whole where the terminal is narrow: it drops columns, then shortens names."""

from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

_GAP = 2
_LEAST_NAME = 6


class FittingTable(Table):
    """A table without lines. Columns that are named in `drops` go first, in that order, then names shrink."""

    def __init__(self, *, drops: Sequence[str] = ()) -> None:
        super().__init__(box=None, padding=(0, _GAP, 0, 0), header_style="dim", pad_edge=False)
        self._drops = tuple(drops)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """As wide as all of it, or as there is room."""
        widths = [_width(column, console) for column in self.columns]
        return Measurement(1, min(options.max_width, _total(widths)))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """What fits of it."""
        columns = list(self.columns)
        widths = [_width(column, console) for column in columns]
        for heading in self._drops:
            for place, column in enumerate(columns):
                if _total(widths) > options.max_width and _heading(column) == heading:
                    del columns[place], widths[place]
                    break
        while _total(widths) > options.max_width:
            names = [
                n for n, c in enumerate(columns) if c.justify != "right" and widths[n] > _LEAST_NAME
            ]
            if not names:
                break
            widths[max(names, key=lambda place: widths[place])] -= 1
        fitted = Table(box=None, padding=(0, _GAP, 0, 0), header_style="dim", pad_edge=False)
        fitted.columns = [
            replace(column, _index=place, width=widths[place])
            for place, column in enumerate(columns)
        ]
        fitted.rows = self.rows
        yield fitted


def _heading(column: Column) -> str:
    return column.header.plain if isinstance(column.header, Text) else str(column.header)


def _width(column: Column, console: Console) -> int:
    return max(console.measure(cell).maximum for cell in (column.header, *column.cells))


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * max(0, len(widths) - 1)
