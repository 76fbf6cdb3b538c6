"""PURE: the predictions of all houses: counted by owner, combined so that no other owner weighs much.

Houses of one owner share everything. Of other owners a house gets a hint, where it knows little
itself: each of them may move a figure by at most `MOST_MOVED`, and the one that would move it most
is left out, so what one owner writes can move no figure of another by more than that (law 8).
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec

from timmyd.core.detect import Interval, clamp
from timmyd.core.estimating.beta import beta_interval
from timmyd.core.estimating.levels import MOST_KEYS, Levels, Saved, Use
from timmyd.core.estimating.rates import Posterior
from timmyd.core.ownership import UNKNOWN

FEW: Final = 3
"""With fewer calls of a tool, or of a shape, nothing is said of it."""
MOST_MOVED: Final = 0.02
"""By so much one other owner may move a figure."""

_NONE_LEFT: Final = 1e-6
_DIGITS: Final = 4
_LEAST_KEYS: Final = 2_000


class Figures(NamedTuple):
    """A success rate as it is published: mean, 95 % interval, calls counted, each once."""

    success: float
    low: float
    high: float
    samples: int


class _SavedPredictor(msgspec.Struct, array_like=True):
    owners: dict[str, str]
    levels: list[tuple[str, Saved]]


class Predictor:
    """Learns from calls in their order; the same calls in the same order give the same bytes."""

    def __init__(self, saved: bytes | None = None) -> None:
        """Go on from what `dump` gave.

        Raises:
            msgspec.MsgspecError: The bytes are no such state; start afresh.
        """
        self._owners: dict[str, str] = {}
        self._levels: dict[str, Levels] = {}
        if saved is not None:
            kept = msgspec.msgpack.decode(saved, type=_SavedPredictor)
            self._owners = kept.owners
            self._levels = {owner: Levels.load(levels) for owner, levels in kept.levels}

    def dump(self) -> bytes:
        """The whole state; going on from it gives the same bytes as not having stopped."""
        levels = [(owner, one.save()) for owner, one in self._levels.items()]
        return msgspec.msgpack.encode(_SavedPredictor(self._owners, levels))

    def __len__(self) -> int:
        return sum(map(len, self._levels.values()))

    # ----------------------------------------------------------------------- learning
    def learn(
        self,
        house: str,
        tool: str,
        shape: str,
        arguments: str,
        *,
        ok: bool,
        at: float,
        now: float,
        owner: str = UNKNOWN,
    ) -> None:
        """Take in one rated call; as `Levels.learn`, for the house's owner."""
        levels = self._levels.get(self._owners.get(house, ""))
        if levels is None or self._owners.get(house) != owner:
            levels = self._pool(house, owner)
        levels.learn(house, tool, shape, arguments, ok=ok, at=at, now=now)

    def _pool(self, house: str, owner: str) -> Levels:
        """The counts that a house shares; what nobody owned goes with the first house that is owned."""
        known = self._owners.get(house)
        if owner == UNKNOWN and known is not None:
            owner = known
        elif known == UNKNOWN and owner not in self._levels:
            self._levels[owner] = self._levels.pop(UNKNOWN)
            self._owners = {
                one: owner if whose == UNKNOWN else whose for one, whose in self._owners.items()
            }
        self._owners[house] = owner
        if owner not in self._levels:
            self._levels[owner] = Levels()
            most = max(_LEAST_KEYS, MOST_KEYS // len(self._levels))
            for levels in self._levels.values():
                levels.most_keys = most
        return self._levels[owner]

    # ------------------------------------------------------------------------- asking
    def tell(
        self,
        house: str,
        tool: str,
        shape: str | None = None,
        arguments: str | None = None,
        *,
        beyond: Figures | None = None,
    ) -> Figures | None:
        """What is thought of calls of a tool in a house, of those with a shape, or exactly so.

        Args:
            house: Where they would run.
            tool: What would be called.
            shape: None for all of its calls.
            arguments: Digest of the exact arguments; None for all calls of the shape.
            beyond: Only what lies outside of this interval is of interest.

        Returns:
            None where no such call was counted in the house, or too few of the tool anywhere.
        """
        levels = self._levels.get(self._owners.get(house, ""))
        if levels is None or levels.calls(tool) < FEW:
            return None
        found = levels.tell(house, tool, shape, arguments)
        if found is None:
            return None
        moved = self._moved(levels, found.mean, house, tool, shape, arguments)
        success = clamp(found.mean + moved, 0.0, 1.0)
        if beyond is not None and beyond.low <= success <= beyond.high:
            return None
        low, high = interval(found)
        return Figures(
            round(success, _DIGITS),
            round(clamp(low + moved, 0.0, 1.0), _DIGITS),
            round(clamp(high + moved, 0.0, 1.0), _DIGITS),
            found.samples,
        )

    def most_used(self, pairs: int, shapes: int, arguments: int) -> Iterator[Use]:
        """The most used groups of calls; each owner has an equal share of what is asked for."""
        owners = len(self._levels)
        for levels in self._levels.values():
            yield from levels.most_used(FEW, pairs // owners, shapes // owners, arguments // owners)

    def _moved(
        self, own: Levels, mean: float, house: str, tool: str, shape: str | None, arguments: str | None
    ) -> float:  # fmt: skip
        """By how much what other owners know moves a figure."""
        if len(self._levels) <= 1:
            return 0.0
        moves = []
        for other in self._levels.values():
            if other is own or other.calls(tool) < FEW:
                continue
            found = own.tell(house, tool, shape, arguments, hint=other.hint(tool, shape))
            if found is not None:
                moves.append(clamp(found.mean - mean, -MOST_MOVED, MOST_MOVED))
        moves.sort(key=abs)
        return sum(moves[:-1])


def interval(found: Posterior) -> Interval:
    """The central 95 % interval; it reaches the end where no failure, or no success, is remembered."""
    low, high = _central(round(found.mean, _DIGITS), float(f"{found.size:.3g}"))
    return Interval(
        0.0 if found.successes < _NONE_LEFT else min(low, found.mean),
        1.0 if found.failures < _NONE_LEFT else max(high, found.mean),
    )


@lru_cache(maxsize=8_192)
def _central(mean: float, size: float) -> Interval:
    return beta_interval(mean, size)
