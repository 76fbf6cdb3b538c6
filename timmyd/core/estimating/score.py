"""PURE: how good the predictions were, and whether the fleet learns.

Only predictions that were frozen before their execution started count: predict, then learn. All
sums decay, so the scores are of lately; whole sessions are fed, because their calls are
correlated and the comparison with the reference is an e-process over sessions.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

HALF_LIFE = 5000.0
"""Executions after which a score counts half."""
ENOUGH = 30
"""With fewer scored executions there is no score."""

_BINS = 10
_CLIP = 0.001
_BETS = (0.1, 0.25, 0.5, 0.75, 0.95)
_EVIDENCE_MOST = 1e12
_SESSIONS_LEAST = 5
_LABEL_AT, _Z_95, _UNCLEAR_AT = 3.0, 1.96, 0.05


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


class _State(msgspec.Struct):
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


class Prequential:
    """Scores of predictions frozen before their executions, and the reference they must beat."""

    def __init__(self) -> None:
        self._s = _State()
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

    def dump(self) -> bytes:
        """The whole state; `load` of it goes on bit for bit."""
        return msgspec.msgpack.encode(self._s)

    @classmethod
    def load(cls, data: bytes) -> "Prequential":
        """The inverse of `dump`.

        Raises:
            msgspec.MsgspecError: The bytes are no such state; start afresh.
        """
        state = msgspec.msgpack.decode(data, type=_State)
        sane = len(state.bins) == _BINS and len(state.evidence) == len(_BETS)
        if state.version != 1 or not sane or len(state.mean) != len(("good", "seen")):
            raise msgspec.ValidationError
        self = cls()
        self._s = state
        return self


@dataclass(frozen=True, slots=True)
class Tally:
    """The rated executions of one session on one stratum in one window.

    Attributes:
        session: Whose; the cluster.
        stratum: What makes executions comparable, such as (house, tool).
        good: How many succeeded.
        total: How many ran.
    """

    session: str
    stratum: tuple[str, ...]
    good: int
    total: int


@dataclass(frozen=True, slots=True)
class Velocity:
    """How the success rate moved from one window to the next, like compared with like.

    Attributes:
        improvement: Difference of the rates (new minus old); None before there is enough.
        low: Lower end of its 95 % interval; None likewise.
        high: Upper end; None likewise.
        coverage: Share of the new executions whose stratum is in both windows.
        velocity: accelerating | stable | declining | unclear; None before there is enough.
    """

    improvement: float | None
    low: float | None
    high: float | None
    coverage: float
    velocity: str | None


def learning_velocity(new: Iterable[Tally], old: Iterable[Tally]) -> Velocity:
    """Compare two adjacent windows without being fooled by the mix of tools or by bursts.

    The rates are compared within each stratum and averaged with Mantel-Haenszel weights; the
    standard error is robust to correlation within sessions. A label needs three standard errors,
    because it is looked at again and again: with 1.96 a week of hourly looks shows a wrong label
    in 50 % of stationary fleets, with 3 in none to 12 %.

    Source:
        Greenland, Robins, Biometrics 41 (1985) 55, for the weighted difference.
    """
    windows = (list(new), list(old))
    sums = tuple(_by_stratum(rows) for rows in windows)
    ran = sum(total for _, total in sums[0].values())
    both = [k for k in sums[0] if k in sums[1]]
    if not both:
        return Velocity(None, None, None, 0.0, None)
    weights = {k: 1.0 / (1.0 / sums[0][k][1] + 1.0 / sums[1][k][1]) for k in both}
    whole = sum(weights.values())
    rates = tuple({k: s[k][0] / s[k][1] for k in both} for s in sums)
    change = sum(weights[k] * (rates[0][k] - rates[1][k]) for k in both) / whole
    parts: dict[tuple[int, str], float] = {}
    for side, rows in enumerate(windows):
        for row in rows:
            if (k := row.stratum) in weights and row.total > 0:
                off = (row.good - rates[side][k] * row.total) / sums[side][k][1]
                key = (side, row.session)
                parts[key] = parts.get(key, 0.0) + weights[k] / whole * off
    coverage = sum(sums[0][k][1] for k in both) / ran
    clusters = len(parts)
    if min(sum(1 for side, _ in parts if side == i) for i in (0, 1)) < _SESSIONS_LEAST:
        return Velocity(None, None, None, coverage, None)
    error = math.sqrt(clusters / (clusters - 1) * sum(u * u for u in parts.values()))
    low, high = change - _Z_95 * error, change + _Z_95 * error
    return Velocity(change, low, high, coverage, _label(change, error))


def _label(change: float, error: float) -> str:
    if abs(change) > _LABEL_AT * error:
        return "accelerating" if change > 0 else "declining"
    return "unclear" if _Z_95 * error > _UNCLEAR_AT else "stable"


def _by_stratum(rows: Iterable[Tally]) -> dict[tuple[str, ...], tuple[int, int]]:
    sums: dict[tuple[str, ...], tuple[int, int]] = {}
    for row in rows:
        if row.total > 0:
            good, total = sums.get(row.stratum, (0, 0))
            sums[row.stratum] = (good + row.good, total + row.total)
    return sums


def _rate(value: float) -> float:
    return min(1.0, max(0.0, value))
