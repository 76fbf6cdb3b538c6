"""PURE: which figures were in force when a call started; what it is scored against."""

from bisect import bisect_right
from collections.abc import Mapping
from operator import itemgetter
from typing import Final, NamedTuple

import msgspec

from timmyd.core.estimating.predict import Figures

KEPT_S: Final = 6 * 3600.0
"""Calls that come in later than this are not scored."""

_MOST_A_KEY: Final = 200
_MOST_PUBLISHED: Final = 8_000

FigureKey = tuple[str, str, str, str]
"""House, tool, shape and arguments; "" for all of them."""
_at = itemgetter(0)


class Told(NamedTuple):
    """What was published of a call when it started.

    Attributes:
        key: The most exact group of calls with a figure.
        figures: Its figure.
        reference: What the running mean said.
    """

    key: FigureKey
    figures: Figures
    reference: float


class _InForceState(msgspec.Struct):
    published: list[tuple[float, float | None, float]] = []
    by_key: dict[FigureKey, list[tuple[float, Figures | None]]] = {}
    by_tick: bool = True


class InForce:
    """The published figures of the last hours, by time."""

    def __init__(self, saved: bytes | None = None) -> None:
        """Go on from what `dump` gave.

        Raises:
            msgspec.MsgspecError: The bytes are no such state; start afresh.
        """
        self._s = (
            _InForceState() if saved is None else msgspec.msgpack.decode(saved, type=_InForceState)
        )

    def dump(self) -> bytes:
        """The whole state."""
        return msgspec.msgpack.encode(self._s)

    def note(
        self, figures: Mapping[FigureKey, Figures], reference: float, *, now: float, life_s: float | None
    ) -> None:  # fmt: skip
        """Figures go out.

        Args:
            figures: All of them.
            reference: What the running mean says.
            now: Unix seconds.
            life_s: How long they are used; None where nothing is published, as in a simulation: then
                a tick's figures are in force until the next. Once something was, ticks say nothing.
        """
        s = self._s
        if life_s is None and not s.by_tick:
            return
        s.by_tick = life_s is None
        # a clock that jumped back: what claims to be of later never was
        while s.published and s.published[-1][0] > now:
            s.published.pop()
        s.published.append((now, None if life_s is None else now + life_s, reference))
        for key, one in figures.items():
            told = s.by_key.setdefault(key, [])
            if not told or told[-1][1] != one or told[-1][0] > now:
                _tell(told, now, one)
        for key, told in s.by_key.items():
            if key not in figures and told[-1][1] is not None:
                _tell(told, now, None)
        self._let_go(now - KEPT_S)

    def find(self, key: FigureKey, at: float) -> Told | None:
        """What was published of a call that started at `at`; None where nothing was in force."""
        index = bisect_right(self._s.published, at, key=_at)
        if index == 0:
            return None
        _, until, reference = self._s.published[index - 1]
        if until is not None and at >= until:
            return None
        house, tool, shape, _ = key
        for one in (key, (house, tool, shape, ""), (house, tool, "", "")):
            told = self._s.by_key.get(one, [])
            before = bisect_right(told, at, key=_at)
            figures = told[before - 1][1] if before else None
            if figures is not None:
                return Told(one, figures, reference)
        return None

    def _let_go(self, before: float) -> None:
        s = self._s
        while len(s.published) > 1 and (
            s.published[1][0] < before or len(s.published) > _MOST_PUBLISHED
        ):
            del s.published[0]
        gone = []
        for key, told in s.by_key.items():
            while len(told) > 1 and (told[1][0] < before or len(told) > _MOST_A_KEY):
                del told[0]
            if told[-1][1] is None and told[-1][0] < before:
                gone.append(key)
        for key in gone:
            del s.by_key[key]


def _tell(told: list[tuple[float, Figures | None]], now: float, figures: Figures | None) -> None:
    while told and told[-1][0] > now:
        told.pop()
    told.append((now, figures))
