"""Figures drawn in signs for a terminal: a rate with its interval, success by the day."""

from collections.abc import Iterable, Sequence
from typing import Final

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.text import Text

from timmyd.report.rhythm import Day

BARS: Final = "▁▂▃▄▅▆▇█"
PLAIN: Final = "_.-:=+*#"
"""For a terminal that has nothing but ASCII."""


_GOOD: Final = 0.8
_POOR: Final = 0.5
_TRACK: Final = 21
_SPARK_DAYS: Final = 14


def spark(rates: Iterable[float | None], *, plain: bool = False, gap: str = " ") -> str:
    """Shares from 0 to 1 as bars, oldest first; what is unknown is a gap, never a low bar.

    Args:
        rates: The shares.
        plain: ASCII only.
        gap: What stands for the unknown.
    """
    signs = PLAIN if plain else BARS
    return "".join(
        gap
        if rate is None
        else signs[min(len(signs) - 1, int(min(1.0, max(0.0, rate)) * len(signs)))]
        for rate in rates
    )


def colour(rate: float | None) -> str:
    """The colour of a rate; dim while it is unknown."""
    if rate is None:
        return "dim"
    return "green" if rate >= _GOOD else "yellow" if rate >= _POOR else "red"


class Whisker:
    """A rate on a track from 0 to 100 %, with its interval: `····━━●━━·····`."""

    def __init__(self, rate: float | None, interval: tuple[float, float] | None) -> None:
        self.rate = rate
        self.interval = interval

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """As wide as the track."""
        return Measurement(_TRACK, _TRACK)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Plain signs where the terminal has no others."""
        empty, span, point = (".", "=", "o") if options.ascii_only else ("·", "━", "●")
        text = Text(empty * _TRACK, style="dim")
        if self.rate is not None and self.interval is not None:
            low, at, high = (
                round(x * (_TRACK - 1)) for x in (self.interval[0], self.rate, self.interval[1])
            )
            shade = colour(self.rate)
            text = Text.assemble(
                (empty * low, "dim"),
                (span * (at - low), shade),
                (point, f"bold {shade}"),
                (span * (high - at), shade),
                (empty * (_TRACK - 1 - high), "dim"),
            )
        yield text


class Spark:
    """Success by the day as a line of bars, plain signs where the terminal has no others."""

    def __init__(self, days: Sequence[Day]) -> None:
        self._rates = [day.rate for day in days[-_SPARK_DAYS:]]

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """As wide as the days."""
        return Measurement(len(self._rates), len(self._rates))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """A gap where nothing was rated."""
        yield Text(spark(self._rates, plain=options.ascii_only), style="cyan", no_wrap=True)
