"""RULES: the rules that timmyd ships, a file a rule; one line here makes a new one known."""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from timmyd.core.judging.rules import (
    auto_route,
    evidence_threshold,
    fallback,
    parallel_tests,
    read_boost,
    retry_limit,
)
from timmyd.core.judging.rules.base import WILDCARD, Observation, PolicySpec, RuleSpec
from timmyd.core.judging.rules.signals import GUARDS, SIGNALS, Signal
from timmyd.house.keys import HOUSE_KEYS

__all__ = [
    "DEFAULT_RULES",
    "RULES",
    "SIGNALS",
    "Observation",
    "PolicySpec",
    "RuleSpec",
    "Signal",
    "expand",
    "problems",
]

RULES: Final[tuple[RuleSpec, ...]] = (
    *evidence_threshold.RULES,
    *read_boost.RULES,
    *parallel_tests.RULES,
    *auto_route.RULES,
    *fallback.RULES,
    *retry_limit.RULES,
)

DEFAULT_RULES: Final = RULES
"""The rules in force when the settings name none."""


def problems(rule: RuleSpec, keys: Iterable[str]) -> list[tuple[str, str]]:
    """What is wrong with a rule as (field, words); empty when it can be used.

    Args:
        rule: As decoded from the settings.
        keys: Every policy key that there is.
    """
    found: list[tuple[str, str]] = []
    known = set(keys)
    owner, _, key = rule.policy.partition(".")
    tails = {name.partition(".")[2] for name in known} | set(HOUSE_KEYS)
    if rule.policy not in known and not (owner == WILDCARD and key in tails):
        found.append(("policy", f"expected a policy key, got {rule.policy!r}"))
    signal = SIGNALS.get(rule.signal)
    if signal is None or signal.scaled:
        names = ", ".join(sorted(name for name, known in SIGNALS.items() if not known.scaled))
        found.append(("signal", f"expected one of {names}; got {rule.signal!r}"))
    elif signal.quantile is None and not 0.0 < rule.limit < 1.0:
        found.append(("limit", f"expected a share between 0 and 1, got {rule.limit!r}"))
    elif signal.quantile is not None and not 0.0 < rule.limit < float("inf"):
        found.append(("limit", f"expected milliseconds above 0, got {rule.limit!r}"))
    if signal is not None and not signal.scaled:
        sides = ("below", "fallen") if signal.good == "high" else ("above",)
        if rule.side not in sides:
            wanted = " or ".join(sides)
            found.append(("side", f"expected {wanted} for {rule.signal}, got {rule.side!r}"))
    found.extend(
        ("guard", f"expected one of {', '.join(sorted(GUARDS))}; got {name!r}")
        for name in rule.guards
        if name not in GUARDS
    )
    if not 0.0 <= rule.cooldown < float("inf"):
        found.append(("cooldown", f"expected seconds from 0 on, got {rule.cooldown!r}"))
    return found


def expand(rules: Iterable[RuleSpec], specs: Mapping[str, PolicySpec]) -> tuple[RuleSpec, ...]:
    """The rules with every `*` replaced by the houses that have the key; keys that do not exist drop out.

    A rule that names a key exactly displaces a `*` rule for that key; of two `*` rules on one signal
    the first serves a key whose default leaves room in its direction.
    """
    rules = tuple(rules)
    named = {rule.policy for rule in rules if rule.owner != WILDCARD}
    out: list[RuleSpec] = []
    served: set[tuple[str, str, str | None]] = set()
    for rule in rules:
        if rule.owner != WILDCARD:
            if rule.policy in specs:
                out.append(rule)
            continue
        tail = rule.policy.partition(".")[2]
        for key in sorted(specs):
            owner, _, name = key.partition(".")
            asked, spec = (key, rule.signal, rule.task), specs[key]
            end = spec.least if rule.direction == "lower" else spec.most
            if name == tail and key not in named and asked not in served and spec.default != end:
                served.add(asked)
                out.append(msgspec.structs.replace(rule, name=f"{rule.name}:{owner}", policy=key))
    return tuple(out)
