"""The paired test: evidence on a signal from pairs of blocks whose order was tossed."""

from typing import Final, Literal

import msgspec

from timmyd.core.detect import clamp

Arm = Literal["new", "old"]

BETS: Final = (0.1, 0.25, 0.5, 0.75, 0.95)
"""Stakes of the paired test, as shares of what a pair may cost."""

_USUAL: Final = 0.9
"""The usual precision of a pair is a mean that forgets a tenth a pair."""


class Sum(msgspec.Struct, array_like=True, gc=False):
    """What one session did on one signal within one block."""

    total: float
    calls: int


class Blocks(msgspec.Struct, array_like=True, gc=False):
    """One pair of blocks, its sums by session."""

    new: dict[str, Sum] = {}
    old: dict[str, Sum] = {}

    def add(self, arm: Arm, session: str, x: float) -> None:
        """Take in one call that ran under `arm`."""
        sums = self.new if arm == "new" else self.old
        mine = sums.get(session)
        if mine is None:
            sums[session] = Sum(x, 1)
        else:
            mine.total += x
            mine.calls += 1


class PairedTest(msgspec.Struct, kw_only=True):
    """Evidence on a signal from pairs of blocks, d = mean under the new value - mean under the old.

    The order within a pair is tossed, so without an effect d is symmetric whatever the world does
    meanwhile (drift, bursts, outages, long sessions across a border), and the product of
    1 + bet (d - margin) has expectation at most 1: P(it ever reaches e | effect <= margin) <= 1/e.
    A pair with more in it is bet on more, in proportion to its precision; that depends on sizes and
    on the past only.

    Attributes:
        margin: The effect that is not yet a gain.
        up: Components of the evidence that the effect exceeds the margin.
        down: The same that it falls short of it.
        pairs: Pairs with calls in both blocks.
        skipped: Pairs without.
        weight: Summed precision of the pairs, in independent calls.
        weighted: Summed precision times d.

    Source:
        A. Ramdas et al., "Game-theoretic statistics and safe anytime-valid inference",
        Stat. Sci. 38 (2023) 576 (betting on a bounded mean).
    """

    margin: float = 0.0
    up: list[float] = []
    down: list[float] = []
    pairs: int = 0
    skipped: int = 0
    weight: float = 0.0
    weighted: float = 0.0
    usual: float = 0.0

    def __post_init__(self) -> None:
        """A fresh test starts with evidence 1 both ways."""
        if not self.up:
            self.up, self.down = [1.0] * len(BETS), [1.0] * len(BETS)

    def settle(self, blocks: Blocks, *, rho: float, better: Literal["high", "low"]) -> None:
        """Take in one finished pair.

        Args:
            blocks: Its sums.
            rho: Correlation of the calls of one session.
            better: Whether high or low values of the signal are wanted.
        """
        if not blocks.new or not blocks.old:
            self.skipped += 1
            return
        new, new_worth = _mean(blocks.new, rho)
        old, old_worth = _mean(blocks.old, rho)
        d = new - old if better == "high" else old - new
        precision = 1.0 / (1.0 / new_worth + 1.0 / old_worth)
        scale = 1.0 if self.usual == 0.0 else precision / self.usual
        most = BETS[-1]
        for k, bet in enumerate(BETS):
            stake = clamp(bet * scale, 0.0, most) / (1.0 + abs(self.margin))
            self.up[k] *= 1.0 + stake * (d - self.margin)
            self.down[k] *= 1.0 - stake * (d - self.margin)
        self.usual = (
            precision if self.usual == 0.0 else _USUAL * self.usual + (1.0 - _USUAL) * precision
        )
        self.pairs += 1
        self.weight += precision
        self.weighted += precision * d

    @property
    def gain(self) -> float | None:
        """The estimated effect, weighted by precision; None before the first pair."""
        return self.weighted / self.weight if self.pairs else None

    @property
    def better(self) -> float:
        """Evidence (e-value) that the new value is better than the old by more than the margin."""
        return sum(self.up) / len(self.up)

    @property
    def worse(self) -> float:
        """Evidence (e-value) that it is not."""
        return sum(self.down) / len(self.down)


def _mean(sums: dict[str, Sum], rho: float) -> tuple[float, float]:
    """Mean over sessions, each weighted by the independent calls it is worth, and their sum."""
    weight = weighted = 0.0
    for mine in sums.values():
        worth = mine.calls / (1.0 + (mine.calls - 1) * rho)
        weight += worth
        weighted += worth * mine.total / mine.calls
    return weighted / weight, weight
