"""PURE: the one table of policy keys, and which names and numbers may be published at all."""

import math
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

LONGEST_NAME = 128
FALLBACK_HOUSE = "timmy"
ROUTING = "routing"

_HOUSE = re.compile(r"[a-z0-9_-]{1,32}")


class KeySpec(NamedTuple):
    """What one policy key is: the one place that knows.

    Attributes:
        default: The value without any evidence; also what an expired policy falls back to.
        least: The lower end that an adaptation keeps to unless the settings say otherwise.
        most: The upper end, likewise.
        hard_least: Below this a reader refuses the whole document, whoever wrote it.
        hard_most: Above this a reader refuses the whole document.
        step: The size of one change.
        meaning: What a house does with it, in one sentence.
        signal: What a change should raise, as the rules name it; of the calls of `task`, if any.
        guards: What a change must not harm.
        task: The task type whose calls the signal counts; None where it counts all.
    """

    default: float
    least: float
    most: float
    hard_least: float
    hard_most: float
    step: float
    meaning: str
    signal: str
    guards: tuple[str, ...]
    task: str | None = None


def _evidence_threshold(default: float, least: float) -> KeySpec:
    return KeySpec(
        default=default, least=least, most=0.95, hard_least=0.05, hard_most=0.99, step=0.1,
        meaning="evidence that a build call needs; below it the call is held back once a turn",
        signal="success_rate", guards=("turns_completed", "held_back_share"), task="build",
    )  # fmt: skip


HOUSE_KEYS: Mapping[str, KeySpec] = MappingProxyType(
    {
        "evidence_threshold": _evidence_threshold(0.6, 0.4),
        "confidence_boost_for_read_ops": KeySpec(
            default=0.1, least=0.0, most=0.3, hard_least=0.0, hard_most=0.5, step=0.05,
            meaning="evidence that each successful read call of the turn adds, for at most three",
            signal="success_rate", guards=("turns_completed", "held_back_share"), task="build",
        ),
        "parallel_test_threshold": KeySpec(
            default=0.5, least=0.2, most=0.9, hard_least=0.0, hard_most=0.99, step=0.1,
            meaning="test calls predicted below it run one at a time",
            signal="success_rate", guards=("latency",), task="test",
        ),
        "retry_limit": KeySpec(
            default=3.0, least=2.0, most=8.0, hard_least=2.0, hard_most=8.0, step=1.0,
            meaning="failures of one call in a turn after which it is refused, if trying again is hopeless",
            signal="wasted_share", guards=("turns_completed",),
        ),
    }
)  # fmt: skip
"""The keys that any house may have, without the house's name."""

KEYS: Mapping[str, KeySpec] = MappingProxyType(
    {
        "ezra.evidence_threshold": _evidence_threshold(0.8, 0.6),
        "ezra.confidence_boost_for_read_ops": HOUSE_KEYS["confidence_boost_for_read_ops"],
        "bezalel.evidence_threshold": HOUSE_KEYS["evidence_threshold"],
        "bezalel.parallel_test_threshold": HOUSE_KEYS["parallel_test_threshold"],
        "routing.min_confidence_for_auto_route": KeySpec(
            default=0.7, least=0.5, most=0.95, hard_least=0.05, hard_most=0.99, step=0.05,
            meaning="a route is applied by itself if its success is at or above it, a model if its"
            " chance to be the best is; else they are advice",
            signal="followed_success", guards=("not_followed_success",),
        ),
        "routing.fallback_to_timmy_threshold": KeySpec(
            default=0.3, least=0.1, most=0.6, hard_least=0.0, hard_most=0.95, step=0.05,
            meaning="a tool whose best house is predicted below it goes to timmy",
            signal="fell_back_success", guards=("latency",),
        ),
    }
)  # fmt: skip
"""Every key that has a value without any settings, by its full name."""


def spec(key: str) -> KeySpec | None:
    """Look up a full key such as `ezra.evidence_threshold`; any house may have the house keys."""
    known = KEYS.get(key)
    if known is not None:
        return known
    house, _, name = key.partition(".")
    return HOUSE_KEYS.get(name) if house != ROUTING and is_house(house) else None


def value_in_bounds(key: str, value: object) -> bool:
    """Tell whether `value` is a finite number inside the hard bounds of a known `key`."""
    known = spec(key)
    return known is not None and is_number(value, known.hard_least, known.hard_most)


def defaults() -> dict[str, float]:
    """The compiled-in values, by full key."""
    return {key: known.default for key, known in KEYS.items()}


def is_house(name: object) -> bool:
    """Tell whether `name` is a house name: `[a-z0-9_-]{1,32}`."""
    return isinstance(name, str) and _HOUSE.fullmatch(name) is not None


def is_name(name: object, *, longest: int = LONGEST_NAME) -> bool:
    """Tell whether a tool's, model's or key's name is fit to be published and shown.

    Names come from sessions, so from a model: no control or format characters (which could
    forge lines or hide text), no lone surrogates, no spaces at the ends, at most `longest` characters.
    """
    return (
        isinstance(name, str)
        and 0 < len(name) <= longest
        and name.isprintable()
        and name == name.strip()
    )


def is_number(value: object, least: float, most: float) -> bool:
    """Tell whether `value` is a finite number, no boolean, from `least` to `most`."""
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and least <= value <= most
        and math.isfinite(value)
    )
