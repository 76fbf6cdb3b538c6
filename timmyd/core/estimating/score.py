"""PURE: how good the predictions were.

Only predictions that were published before their execution started count. All sums decay, so the
scores are of lately; whole sessions are fed, because their calls are correlated and the comparison
with the reference is an e-process over sessions.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from timmyd.house.units import DAY_S

HALF_LIFE = 5000.0
"""Executions after which a score counts half."""
ENOUGH = 30
"""With fewer scored executions there is no score."""

_BINS = 10
_CLIP = 0.001
_BETS = (0.1, 0.25, 0.5, 0.75, 0.95)
_EVIDENCE_MOST = 1e12
_Z_95 = 1.96
_BLOCK, _BLOCKS_LEAST, _BLOCKS_MOST = 20.0, 5.0, 2_000
_DAYS, _DAYS_KEPT = 7, 40
_COVERED_KEEP = 0.5 ** (1.0 / 500.0)


@dataclass(frozen=True, slots=True)
class Bin:
    """One bin of the calibration table: what was said, what came, how often (decayed)."""

    low: float
    high: float
    predicted: float
    observed: float
    samples: float


@dataclass(frozen=True, slots=True)
class Scores:
    """How good the predictions were, lately.

    Attributes:
        samples: Scored executions, all told.
        brier: Mean squared error; 0 is perfect, 0.25 is a coin.
        log_loss: Mean negative log likelihood, in nats.
        baseline_brier: The same of the reference, the running mean.
        skill: 1 - brier / baseline_brier; above 0 is better than the reference.
        evidence: E-value of "no better than the reference"; from 20 on, it is better.
        calibration_error: Mean gap between said and observed over the bins.
        calibration: The bins that were used.
    """

    samples: int
    brier: float
    log_loss: float
    baseline_brier: float
    skill: float
    evidence: float
    calibration_error: float
    calibration: tuple[Bin, ...]


class _ScoreState(msgspec.Struct):
    version: int = 1
    samples: int = 0
    weight: float = 0.0
    brier: float = 0.0
    log_loss: float = 0.0
    baseline: float = 0.0
    bins: list[list[float]] = msgspec.field(
        default_factory=lambda: [[0.0] * 3 for _ in range(_BINS)]
    )
    evidence: list[float] = msgspec.field(default_factory=lambda: [1.0] * len(_BETS))
    mean: list[float] = msgspec.field(default_factory=lambda: [1.0, 2.0])
    days: dict[int, tuple[float, int]] = {}


class Prequential:
    """Scores of predictions frozen before their executions, and the reference they must beat."""

    def __init__(self) -> None:
        self._s = _ScoreState()
        self._keep = 0.5 ** (1.0 / HALF_LIFE)

    @property
    def reference(self) -> float:
        """What the running mean would say now: freeze it beside the prediction."""
        return self._s.mean[0] / self._s.mean[1]

    def add(self, session: Sequence[tuple[float, float, bool]]) -> None:
        """Score the rated executions of one session.

        Args:
            session: (probability, reference, succeeded) of each, both numbers frozen before it
                started. An empty session changes nothing.
        """
        if not session:
            return
        s, keep, lead = self._s, self._keep, 0.0
        for predicted, reference, ok in session:
            p, r, y = _rate(predicted), _rate(reference), 1.0 if ok else 0.0
            error, other = (p - y) ** 2, (r - y) ** 2
            lead += (other - error) / len(session)
            sure = min(1.0 - _CLIP, max(_CLIP, p))
            s.samples += 1
            s.weight = keep * s.weight + 1.0
            s.brier = keep * s.brier + error
            s.baseline = keep * s.baseline + other
            s.log_loss = keep * s.log_loss - math.log(sure if ok else 1.0 - sure)
            for cells in s.bins:
                cells[:] = [keep * cell for cell in cells]
            cells = s.bins[min(_BINS - 1, int(_BINS * p))]
            cells[:] = [cells[0] + 1.0, cells[1] + p, cells[2] + y]
            s.mean = [keep * s.mean[0] + y, keep * s.mean[1] + 1.0]
        s.evidence = [
            min(_EVIDENCE_MOST, e * (1.0 + bet * lead))
            for e, bet in zip(s.evidence, _BETS, strict=True)
        ]

    def scores(self) -> Scores | None:
        """The scores; None before there are enough."""
        s = self._s
        if s.samples < ENOUGH:
            return None
        n = s.weight
        used = [(i, cells) for i, cells in enumerate(s.bins) if cells[0] > 0.0]
        return Scores(
            samples=s.samples,
            brier=s.brier / n,
            log_loss=s.log_loss / n,
            baseline_brier=s.baseline / n,
            skill=1.0 - s.brier / s.baseline if s.baseline > 0.0 else 0.0,
            evidence=sum(s.evidence) / len(s.evidence),
            calibration_error=sum(abs(cells[1] - cells[2]) for _, cells in used) / n,
            calibration=tuple(
                Bin(i / _BINS, (i + 1) / _BINS, said / weight, came / weight, weight)
                for i, (weight, said, came) in used
            ),
        )

    def accuracy(self, now: float) -> float | None:
        """Mean of 1 - |predicted - outcome| over the last seven days, the original's; None: none."""
        day = int(now // DAY_S)
        found = [sums for told, sums in self._s.days.items() if day - _DAYS < told <= day]
        calls = sum(n for _, n in found)
        return sum(total for total, _ in found) / calls if calls else None

    def note_day(self, predicted: float, at: float, *, ok: bool) -> None:
        """Count a prediction, of a call that started at `at`, towards `accuracy`."""
        total, n = self._s.days.get(int(at // DAY_S), (0.0, 0))
        self._s.days[int(at // DAY_S)] = (total + 1.0 - abs(_rate(predicted) - ok), n + 1)
        while len(self._s.days) > _DAYS_KEPT:
            del self._s.days[min(self._s.days)]

    def dump(self) -> bytes:
        """The whole state; `load` of it goes on bit for bit."""
        return msgspec.msgpack.encode(self._s)

    @classmethod
    def load(cls, data: bytes) -> "Prequential":
        """The inverse of `dump`.

        Raises:
            msgspec.MsgspecError: The bytes are no such state; start afresh.
        """
        state = msgspec.msgpack.decode(data, type=_ScoreState)
        sane = len(state.bins) == _BINS and len(state.evidence) == len(_BETS)
        if state.version != 1 or not sane or len(state.mean) != len(("good", "seen")):
            raise msgspec.ValidationError
        self = cls()
        self._s = state
        return self


def _rate(value: float) -> float:
    return min(1.0, max(0.0, value))


class _CoverageState(msgspec.Struct):
    blocks: dict[tuple[str, ...], list[float]] = {}
    held: float = 0.0
    judged: float = 0.0


class Coverage:
    """Whether the published intervals hold what comes.

    The rate behind an interval is never seen, only calls are. So of every group of calls, in blocks,
    the share that succeeded is compared with the interval that stood at the first of them, widened
    by what the calls of one block scatter by themselves. Of honest 95 % intervals 95 % hold.
    """

    def __init__(self, saved: bytes | None = None) -> None:
        """Go on from what `dump` gave.

        Raises:
            msgspec.MsgspecError: The bytes are no such state; start afresh.
        """
        self._s = (
            _CoverageState()
            if saved is None
            else msgspec.msgpack.decode(saved, type=_CoverageState)
        )

    def dump(self) -> bytes:
        """The whole state; going on from it gives the same bytes as not having stopped."""
        return msgspec.msgpack.encode(self._s)

    def add(
        self, key: tuple[str, ...], success: float, low: float, high: float, *, ok: bool
    ) -> None:
        """Take in a call of the group `key`, and the figures that were published when it started."""
        s = self._s
        block = s.blocks.get(key)
        if block is None:
            if len(s.blocks) >= _BLOCKS_MOST:
                del s.blocks[next(iter(s.blocks))]
            block = s.blocks[key] = [0.0, 0.0, success, low, high]
        block[0] += 1.0
        block[1] += 1.0 if ok else 0.0
        if block[0] >= _BLOCK:
            del s.blocks[key]
            s.held = _COVERED_KEEP * s.held + (1.0 if _holds(*block) else 0.0)
            s.judged = _COVERED_KEEP * s.judged + 1.0

    @property
    def share(self) -> float | None:
        """Share of the blocks, lately, whose interval held; None before there are enough."""
        return self._s.held / self._s.judged if self._s.judged >= _BLOCKS_LEAST else None


def _holds(calls: float, good: float, success: float, low: float, high: float) -> bool:
    off = good / calls - success
    inner = (high - success if off > 0.0 else success - low) / _Z_95
    nearest = min(1.0 - 1.0 / calls, max(1.0 / calls, success))
    scatter = nearest * (1.0 - nearest) / calls
    return abs(off) <= _Z_95 * math.sqrt(inner * inner + scatter) + 0.5 / calls
