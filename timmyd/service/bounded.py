"""Labels of metrics: a bounded number of values, whatever sessions invent."""

from typing import Final

OTHER: Final = "other"
"""The label value of whatever came after the bound was reached."""

_LABEL_MOST: Final = 64


class Bounded:
    """Lets the first `most` values of a label through, and calls every later one `other`.

    Each distinct label value is a time series for ever: without a bound, a user who invents names
    could fill the memory of the daemon and of every Prometheus that reads it.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: set[str] = set()

    def __call__(self, value: str) -> str:
        """`value` if it may have a series of its own, else `other`."""
        if value in self._known:
            return value
        plain = value.isascii() and value.isprintable() and 0 < len(value) <= _LABEL_MOST
        if not plain or len(self._known) >= self._most:
            return OTHER
        self._known.add(value)
        return value
