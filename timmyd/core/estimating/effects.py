"""PURE: effects in logits that explain successes, taught one execution at a time.

An execution is explained by what it shares with others: all of them, its tool, its house, the
shape and the exact arguments of its call, its model, the hour of day. Each of these is an effect
in logits with a mean and a variance; one closed-form Gaussian step per execution teaches all of
them. Back-off needs no rule: an effect never seen adds nothing but its variance, which pulls the
probability towards 1/2. What is not additive, arguments or a model that simply never work, is a
second hypothesis beside it, with a probability of its own.

Source:
    The update is the extended Kalman filter of logistic regression with a diagonal covariance;
    the squashing by the variance is MacKay, Neural Computation 4 (1992) 720.
"""

import math
from dataclasses import dataclass

import msgspec

from timmyd.core.estimating.calls import Call, Key, keys_of

FORGOTTEN_AFTER_S = 30 * 86_400.0
MOST_KEYS = 200_000

_FORGET = 0.998
"""An effect's variance grows by this each time it is used: a memory of about 500 uses."""
_START = 1.2
"""Logit of the success rate of everything, before anything is known: 0.77."""
_SD = {
    "all": 1.5,
    "tool": 0.8,
    "house": 0.4,
    "tool+house": 0.5,
    "shape": 0.5,
    "arguments": 0.7,
    "model+task": 0.5,
    "hour": 0.25,
    "tool+house+model": 0.2,
    "house+arguments": 0.15,
}
_PRIOR = {kind: sd * sd for kind, sd in _SD.items()}
_ARGUMENTS_UNDER_SHAPE = 0.5**2
_BREAKABLE = ("arguments", "tool+house+model")
"""The effects whose calls may simply never work, whatever the others say."""
BROKEN_SUCCESS = 0.04
_BROKEN_SHARE, _BROKEN_WORTH, _BROKEN_MOST = 0.01, 50.0, 6.0
_BROKEN_RATE = 0.05
"""Rate of the mean that tells how many of a tool's calls in a house are of the broken kind."""
_MACKAY = math.pi / 8
_CURVATURE_LEAST = 0.02

_EFFECT_CELLS = 5
_MEAN, _VARIANCE, _COUNT, _AT, _BROKEN = range(_EFFECT_CELLS)
Effect = list[float]
"""Mean, variance, executions, last used (Unix seconds), log odds that it never works.

In the last cell of `tool+house` stands the share of its calls that seem to be of the broken kind,
for those who ask without telling the arguments.
"""


@dataclass(frozen=True, slots=True)
class Belief:
    """What the effects say of a call.

    Attributes:
        mean: Its logit, if it works at all.
        variance: Of that logit.
        works: Probability that it is not one of those that never work.
        known: Share of the prior variance (without the common level) that is gone, 0 to 1.
    """

    mean: float
    variance: float
    works: float
    known: float

    def success(self, deviations: float | None = None) -> float:
        """Probability of success; with `deviations`, that of a level so many off the mean."""
        if deviations is None:
            z = self.mean / math.sqrt(1.0 + _MACKAY * self.variance)
        else:
            z = self.mean + deviations * math.sqrt(self.variance)
        return self.works * sigmoid(z) + (1.0 - self.works) * BROKEN_SUCCESS


class _State(msgspec.Struct, frozen=True):
    version: int
    effects: list[tuple[Key, Effect]]
    broken: list[tuple[str, float, float]]


class Effects:
    """Learns from executions in their order; the same order gives the same bytes."""

    def __init__(self, *, most_keys: int = MOST_KEYS) -> None:
        self._most = max(1000, most_keys)
        self._effects: dict[Key, Effect] = {}
        self._broken = {kind: [0.0, 0.0] for kind in _BREAKABLE}  # expected broken, groups
        self._odds = {kind: _log_odds(0.0, 0.0) for kind in _BREAKABLE}

    def __len__(self) -> int:
        return len(self._effects)

    def count(self, *key: str | None) -> int:
        """Executions behind one effect; 0 if it was never seen."""
        effect = None if None in key else self._effects.get(key)  # type: ignore[arg-type]
        return 0 if effect is None else int(effect[_COUNT])

    def believe(self, call: Call) -> Belief:
        """What is thought of a call before it runs."""
        mean = variance = unsure = prior = 0.0
        works = 1.0
        for key in keys_of(call):
            effect = self._effects.get(key)
            kind = key[0]
            widest = _prior(kind, call.shape)
            if effect is None:
                mean += _START if kind == "all" else 0.0
                q = widest
            else:
                mean += effect[_MEAN]
                q = min(widest, effect[_VARIANCE])
            variance += q
            if kind != "all":
                unsure += q
                prior += widest
            if kind in self._odds:
                odds = self._odds[kind] + (0.0 if effect is None else effect[_BROKEN])
                works *= 1.0 - sigmoid(odds)
        if call.signature is None:
            usual = self._effects.get(("tool+house", call.tool, call.house))
            works = min(works, 1.0 - (0.0 if usual is None else usual[_BROKEN]))
        return Belief(mean, variance, works, 1.0 - unsure / prior)

    def learn(self, call: Call, *, ok: bool, at: float) -> None:
        """Take in one rated execution (ok, or error or timeout) that finished at `at`."""
        keys = keys_of(call)
        effects = self._effects
        used: list[Effect] = []
        suspects: list[tuple[str, Effect, float]] = []
        mean = variance = 0.0
        for key in keys:
            kind = key[0]
            effect = effects.get(key)
            widest = _prior(kind, call.shape)
            if effect is None:
                effect = effects[key] = [_START if kind == "all" else 0.0, widest, 0.0, at, 0.0]
                if kind in self._odds:
                    self._broken[kind][0] += sigmoid(self._odds[kind])
                    self._broken[kind][1] += 1.0
            else:
                effect[_VARIANCE] = min(widest, effect[_VARIANCE] / _FORGET)
            if kind in self._odds:
                suspects.append((kind, effect, sigmoid(self._odds[kind] + effect[_BROKEN])))
            mean += effect[_MEAN]
            variance += effect[_VARIANCE]
            used.append(effect)
        p = sigmoid(mean / math.sqrt(1.0 + _MACKAY * variance))
        believed = self._suspect(suspects, p, ok=ok) if suspects else 1.0
        usual_effect = effects["tool+house", call.tool, call.house]
        usual_effect[_BROKEN] += _BROKEN_RATE * (1.0 - believed - usual_effect[_BROKEN])
        curvature = max(p * (1.0 - p), _CURVATURE_LEAST)
        gain = believed / (1.0 + variance * curvature)
        error = (1.0 if ok else 0.0) - p
        for effect in used:
            q = effect[_VARIANCE]
            effect[_MEAN] += q * gain * error
            effect[_VARIANCE] = q * (1.0 - q * curvature * gain)
            effect[_COUNT] += 1.0
            effect[_AT] = max(at, effect[_AT])
        if len(effects) > self._most:
            self._shrink()

    def prune(self, now: float) -> int:
        """Forget effects that no execution used for 30 days; returns how many."""
        old = [
            key
            for key, effect in self._effects.items()
            if effect[_AT] < now - FORGOTTEN_AFTER_S and key[0] != "all"
        ]
        for key in old:
            self._drop(key)
        return len(old)

    def shapes(self, tool: str) -> list[tuple[str, int]]:
        """The shapes seen of a tool with their executions, most used first."""
        rows = (
            (k[2], int(e[_COUNT])) for k, e in self._effects.items() if k[:2] == ("shape", tool)
        )
        return sorted(rows, key=lambda row: (-row[1], row[0]))

    def dump(self) -> bytes:
        """The whole state; `load` of it goes on bit for bit."""
        return msgspec.msgpack.encode(
            _State(
                version=1,
                effects=list(self._effects.items()),
                broken=[(kind, *sums) for kind, sums in self._broken.items()],  # type: ignore[misc]
            )
        )

    @classmethod
    def load(cls, data: bytes, *, most_keys: int = MOST_KEYS) -> "Effects":
        """The inverse of `dump`.

        Raises:
            msgspec.MsgspecError: The bytes are no such state; start afresh.
        """
        state = msgspec.msgpack.decode(data, type=_State)
        self = cls(most_keys=most_keys)
        if state.version != 1 or any(len(row) != _EFFECT_CELLS for _, row in state.effects):
            raise msgspec.ValidationError
        self._effects = dict(state.effects)
        for kind, expected, groups in state.broken:
            if kind in self._broken:
                self._broken[kind] = [expected, groups]
                self._odds[kind] = _log_odds(expected, groups)
        return self

    def _suspect(self, suspects: list[tuple[str, Effect, float]], p: float, *, ok: bool) -> float:
        """Weigh "never works" against the effects; returns how much the effects may learn."""
        dead = BROKEN_SUCCESS if ok else 1.0 - BROKEN_SUCCESS
        alive = p if ok else 1.0 - p
        works = math.prod(1.0 - share for _, _, share in suspects)
        for kind, effect, share in suspects:
            others = works / (1.0 - share)
            moved = math.log(dead / (others * alive + (1.0 - others) * dead))
            logs = _FORGET * effect[_BROKEN] + moved
            effect[_BROKEN] = min(_BROKEN_MOST, max(-_BROKEN_MOST, logs))
            sums = self._broken[kind]
            sums[0] += sigmoid(self._odds[kind] + effect[_BROKEN]) - share
            self._odds[kind] = _log_odds(sums[0], sums[1])
        return works * alive / (works * alive + (1.0 - works) * dead)

    def _drop(self, key: Key) -> None:
        effect = self._effects.pop(key)
        if key[0] in self._broken:
            sums = self._broken[key[0]]
            sums[0] = max(0.0, sums[0] - sigmoid(self._odds[key[0]] + effect[_BROKEN]))
            sums[1] -= 1.0
            self._odds[key[0]] = _log_odds(sums[0], sums[1])

    def _shrink(self) -> None:
        """Drop the tenth of the effects that was used longest ago."""
        rows = sorted(
            (e[_AT], n, k) for n, (k, e) in enumerate(self._effects.items()) if k[0] != "all"
        )
        for _, _, key in rows[: self._most // 10]:
            self._drop(key)


def _prior(kind: str, shape: str | None) -> float:
    """The variance of an effect before it is seen; under a shape, arguments differ less."""
    return _ARGUMENTS_UNDER_SHAPE if shape and kind == "arguments" else _PRIOR[kind]


def _log_odds(expected: float, groups: float) -> float:
    """Log odds that a new group never works, learned from the groups so far."""
    share = (expected + _BROKEN_SHARE * _BROKEN_WORTH) / (groups + _BROKEN_WORTH)
    share = min(0.3, max(0.002, share))
    return math.log(share / (1.0 - share))


def sigmoid(z: float) -> float:
    """Logits to probability, for any finite z."""
    if z >= 0.0:
        return 1.0 / (1.0 + math.exp(-z))
    e = math.exp(z)
    return e / (1.0 + e)
