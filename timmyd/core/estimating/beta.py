"""PURE: the central 95 % interval of a beta distribution, to about four digits."""

import math
from typing import Final

from timmyd.core.detect import Z_95, Interval, clamp, sigmoid

_TAIL: Final = 0.025
_STEPS: Final = 40
_TERMS: Final = 300
_NEAR: Final = 1e-5
_LARGEST_STEP: Final = 1.0
_TINY: Final = 1e-300


def beta_interval(mean: float, size: float) -> Interval:
    """The 2.5 % and 97.5 % points of the beta distribution with this mean.

    Args:
        mean: In [0, 1].
        size: Sum of its two parameters, above 0: what it knows, in calls.
    """
    mean = clamp(mean, 1e-6, 1.0 - 1e-6)
    a, b = mean * size, (1.0 - mean) * size
    return Interval(_quantile(a, b, _TAIL, -Z_95), 1.0 - _quantile(b, a, _TAIL, -Z_95))


def _quantile(a: float, b: float, share: float, deviations: float) -> float:
    """The point below which lies `share`; Newton's method in logits, from the normal approximation."""
    z = math.log(a / b) + deviations * math.sqrt(1.0 / (a + 0.5) + 1.0 / (b + 0.5))
    scale = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    low, high = -60.0, 60.0
    for _ in range(_STEPS):
        x = sigmoid(z)
        off = _below(a, b, x, scale) - share
        if off > 0.0:
            high = z
        else:
            low = z
        slope = math.exp(scale - a * _softplus(-z) - b * _softplus(z))
        step = clamp(off / max(slope, _TINY), -_LARGEST_STEP, _LARGEST_STEP)
        if abs(step) < _NEAR:
            break
        z = z - step if low < z - step < high else (max(low, z - 2.0) + min(high, z + 2.0)) / 2.0
    return sigmoid(z)


def _softplus(z: float) -> float:
    return z + math.log1p(math.exp(-z)) if z > 0.0 else math.log1p(math.exp(z))


def _below(a: float, b: float, x: float, scale: float) -> float:
    """The regularised incomplete beta function, by its continued fraction.

    Source:
        NIST Digital Library of Mathematical Functions, 8.17.22; evaluated as by Lentz, 1976.
    """
    if x <= 0.0 or x >= 1.0:
        return 0.0 if x <= 0.0 else 1.0
    front = math.exp(scale + a * math.log(x) + b * math.log1p(-x))
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - front * _fraction(b, a, 1.0 - x) / b
    return front * _fraction(a, b, x) / a


def _fraction(a: float, b: float, x: float) -> float:
    c, d = 1.0, 1.0 - (a + b) * x / (a + 1.0)
    d = 1.0 / (d if abs(d) > _TINY else _TINY)
    found = d
    for m in range(1, _TERMS):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0)),
        ):
            d = 1.0 + term * d
            c = 1.0 + term / c
            d = 1.0 / (d if abs(d) > _TINY else _TINY)
            c = c if abs(c) > _TINY else _TINY
            found *= d * c
        if abs(d * c - 1.0) < _NEAR:
            break
    return found
