"""PURE: all circuit breakers of a house or of the fleet: caps, the operator's hand, what is published.

Both sides run this code. The house counts its own calls and opens at once; the daemon sees all
sessions and is the backstop. What is published open binds a house until it is published closed;
what a house opened by its own count stays with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from .breaker_document import is_shown, item_of, obey
from .breaker_evidence import finite, number
from .circuit import (
    ALLOWED,
    CLOSED,
    DEFAULT_RULE,
    HALF_OPEN,
    OPEN,
    RATED,
    Breaker,
    BreakerRule,
    Verdict,
)

__all__ = [
    "ALLOWED", "CLOSED", "DEFAULT_RULE", "HALF_OPEN", "OPEN", "RATED",
    "Breaker", "BreakerKey", "BreakerRule", "Breakers", "Verdict",
]  # fmt: skip

MOST_OPEN = 0.5
"""Share of a house's breakers that may be open at once; one always may."""
MOST_KEPT = 8192
_MODEL = "model:"


class BreakerKey(NamedTuple):
    """What a breaker guards: a tool in a house (`model` None), or a model in a house (`tool` None)."""

    house: str
    tool: str | None
    model: str | None = None

    @property
    def name(self) -> str:
        """The tool's name, or `model:` and the model's."""
        return self.tool if self.tool is not None else f"{_MODEL}{self.model}"

    @classmethod
    def named(cls, house: str, name: str) -> BreakerKey:
        """The inverse of `name`."""
        if name.startswith(_MODEL):
            return cls(house, None, name.removeprefix(_MODEL))
        return cls(house, name)


class Breakers:
    """The breakers by key. Asking and recording cost a few microseconds and never raise."""

    def __init__(
        self,
        rule: BreakerRule = DEFAULT_RULE,
        *,
        most_open: float = MOST_OPEN,
        opens_alone: bool = True,
        seed: str = "",
    ) -> None:
        """Start with none.

        Args:
            rule: How they behave.
            most_open: Share of a house's tools (and of its models) that may be open at once.
            opens_alone: True in a house, which sees one session; the daemon wants two.
            seed: Makes the jitter of the waits this owner's own; any text.
        """
        self._rule = rule
        self._most_open = number(most_open, 0.0, 1.0, MOST_OPEN)
        self._opens_alone = opens_alone
        self._seed = seed
        self.claim: Callable[[str, float, float], bool] | None = None
        """Whether this process may make the probe of a published-open breaker (`ProbeClaims.take`)."""
        self._all: dict[BreakerKey, Breaker] = {}
        self._in_house: dict[tuple[str, bool], set[BreakerKey]] = {}
        self._of_tool: dict[str, set[BreakerKey]] = {}

    @property
    def rule(self) -> BreakerRule:
        """The rule in force."""
        return self._rule

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[tuple[BreakerKey, Breaker]]:
        return iter(self._all.items())

    def get(self, house: str, tool: str | None, *, model: str | None = None) -> Breaker | None:
        """The breaker of a tool, or with `tool` None of a model; None if nothing is known."""
        return self._all.get(_key(house, tool, model))

    def allows(
        self, house: str, tool: str | None, now: float, *, model: str | None = None
    ) -> Verdict:
        """May a call of `tool` (and `model`, if given) run? Ask once a call: it may take a probe."""
        with suppress(TypeError):  # a name that cannot be a key has no breaker
            verdict = ALLOWED
            if tool is not None:
                verdict = self._ask(BreakerKey(house, tool), now)
            if verdict.allowed and model is not None:
                asked = self._ask(BreakerKey(house, None, model), now)
                verdict = asked if asked.reason else verdict
            return verdict
        return ALLOWED

    def record(
        self,
        house: str,
        tool: str | None,
        now: float,
        outcome: str,
        *,
        session: str | None = None,
        model: str | None = None,
    ) -> None:
        """Learn from a finished call of `tool`; with `tool` None, from a call of `model` itself.

        A tool's failure says nothing about the model that asked for it, so `model` counts only
        where `tool` is None.
        """
        if not all(isinstance(text, str) for text in (outcome, house)) or outcome not in RATED:
            return
        if not isinstance(tool if tool is not None else model, str):
            return
        key = _key(house, tool, model)
        breaker = self._all.get(key) or self._add(key)
        breaker.record(now, outcome, session, room=lambda: self._room(key))

    def force(self, house: str, tool: str | None, now: float, *, model: str | None = None) -> None:
        """The operator opens one, beyond every cap, until `clear`."""
        key = _key(house, tool, model)
        (self._all.get(key) or self._add(key)).force(now)

    def clear(self, house: str, tool: str | None, now: float, *, model: str | None = None) -> None:
        """The operator closes one and forgets its evidence."""
        if (breaker := self.get(house, tool, model=model)) is not None:
            breaker.clear(now)

    def expect(self, house: str, tool: str, success: float, *, model: str | None = None) -> None:
        """Tell the usual success rate of a tool that has no calls here yet (0 to 1)."""
        share = finite(success, 0.0, 1.0)
        key = _key(house, tool, model)
        if share is not None and key not in self._all:
            self._add(key).evidence.expect(1.0 - share)

    def use(self, rule: BreakerRule) -> None:
        """Let another rule be in force from now on; states stay."""
        if rule != self._rule:
            self._rule = rule
            for breaker in self._all.values():
                breaker.rule = rule

    def leave(self, house: str) -> int:
        """Forget all of a house but what the operator forced; returns how many."""
        gone = [key for key, b in self._all.items() if key.house == house and not b.forced]
        for key in gone:
            self._drop(key)
        return len(gone)

    # ------------------------------------------------------------- publishing

    def published(self, now: float) -> list[dict[str, Any]]:
        """What the policy says about breakers: the open ones, and closed ones on their way."""
        return [
            item_of(*key, breaker)
            for key, breaker in sorted(self._all.items(), key=lambda pair: _order(pair[0]))
            if is_shown(breaker, now)
        ]

    def load(self, published: Iterable[Mapping[str, Any]], rule: BreakerRule, now: float) -> None:
        """Obey a newly read policy; call it once a document, with none when none is in force.

        Published open binds. Published closed, or no longer listed, frees what was bound, and
        gives its evidence to start from. What was opened by our own count stays as it is.
        """
        self.use(rule)
        listed: set[BreakerKey] = set()
        for item in published:
            with suppress(AttributeError, LookupError, TypeError, ValueError, OverflowError):
                key = _key(item["house"], item["tool"], item.get("model"))
                if not all(isinstance(name, str) for name in (key.house, key.tool or key.model)):
                    continue
                listed.add(key)
                obey(self._all.get(key) or self._add(key), item, now)
        for key, breaker in self._all.items():
            if breaker.bound and key not in listed:
                breaker.clear(now)

    # ------------------------------------------------------------------ state

    def to_dict(self) -> dict[str, Any]:
        """All that a restart needs, JSON-able."""
        return {
            "version": 1,
            "breakers": [[*key, breaker.to_dict()] for key, breaker in self._all.items()],
        }

    @classmethod
    def from_dict(
        cls,
        value: object,
        rule: BreakerRule = DEFAULT_RULE,
        *,
        most_open: float = MOST_OPEN,
        opens_alone: bool = True,
        seed: str = "",
    ) -> Breakers:
        """The inverse of `to_dict`; what makes no sense is left out."""
        self = cls(rule, most_open=most_open, opens_alone=opens_alone, seed=seed)
        rows = value.get("breakers") if isinstance(value, dict) else None
        for row in rows if isinstance(rows, list) else []:
            with suppress(TypeError, ValueError):
                house, tool, model, state = row
                if isinstance(house, str) and isinstance(tool if tool is not None else model, str):
                    key = BreakerKey(house, tool, model)
                    self._add(key, state)
        return self

    # ----------------------------------------------------------------- inside

    def _ask(self, key: BreakerKey, now: float) -> Verdict:
        breaker = self._all.get(key)
        if breaker is None:
            return ALLOWED
        claim = self.claim
        if claim is None:
            return breaker.allows(now)
        name, every = f"{key.house}/{key.name}", self._rule.probe_every_s
        return breaker.allows(now, lambda: claim(name, now, every))

    def _add(self, key: BreakerKey, state: object = None) -> Breaker:
        if len(self._all) >= MOST_KEPT:
            closed = (k for k, b in self._all.items() if b.state == CLOSED)
            self._drop(next(closed, next(iter(self._all))))
        seed = f"{self._seed}/{key.house}/{key.tool}/{key.model}"
        breaker = Breaker.from_dict(state, self._rule, seed=seed, opens_alone=self._opens_alone)
        self._all[key] = breaker
        self._in_house.setdefault((key.house, key.tool is None), set()).add(key)
        if key.tool is not None:
            self._of_tool.setdefault(key.tool, set()).add(key)
        return breaker

    def _drop(self, key: BreakerKey) -> None:
        del self._all[key]
        self._in_house[key.house, key.tool is None].discard(key)
        if key.tool is not None:
            self._of_tool[key.tool].discard(key)

    def _room(self, key: BreakerKey) -> bool:
        """May one more open: below the cap of the house, and never the last way to do it?"""
        family = self._in_house[key.house, key.tool is None]
        is_open = sum(self._all[k].state != CLOSED for k in family)
        if is_open >= max(1, int(self._most_open * len(family))):
            return False
        others = (family if key.tool is None else self._of_tool[key.tool]) - {key}
        if not others:
            return key.tool is not None
        return any(self._all[k].state == CLOSED for k in others)


def _key(house: str, tool: str | None, model: str | None) -> BreakerKey:
    return BreakerKey(house, tool, model if tool is None else None)


def _order(key: BreakerKey) -> tuple[str, str, str]:
    return key.house, key.tool or "", key.model or ""
