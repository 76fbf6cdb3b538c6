"""Which rules a call matters to, remembered by (kind, house, task, tool) so that it costs one look-up."""

from collections.abc import Iterable
from typing import Final

from timmyd.core.judging.rules.base import Observation, RuleSpec
from timmyd.core.judging.rules.signals import SIGNALS, Signal

_MOST_REMEMBERED: Final = 20_000

Streams = tuple[tuple[str, Signal], ...]
"""Streams of one rule: its own signal under ``""``, each guard under its name."""


class Routes:
    """From observations to rules; holds no evidence."""

    def __init__(self, rules: Iterable[RuleSpec]) -> None:
        """Serve these rules, `*` expanded."""
        self._rules = tuple(rules)
        self._known: dict[tuple[str, str, str | None, str], tuple[tuple[str, Streams], ...]] = {}

    def of(self, call: Observation) -> tuple[tuple[str, Streams], ...]:
        """The rules that the observation is in the scope of, with the streams it may carry."""
        key = (call.kind, call.house, call.task, call.tool)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _MOST_REMEMBERED:
                self._known.clear()
            matched = ((rule.name, _streams(rule, call)) for rule in self._rules)
            found = self._known[key] = tuple(
                (name, streams) for name, streams in matched if streams
            )
        return found


def _streams(rule: RuleSpec, call: Observation) -> Streams:
    """A turn is in scope by its house alone: it has no tool and no task."""
    if rule.scope is not None and call.house != rule.scope:
        return ()
    if call.kind == "tool":
        if rule.task is not None and call.task != rule.task:
            return ()
        if rule.tool is not None and call.tool != rule.tool:
            return ()
    wanted = [("", SIGNALS[rule.signal])] + [(name, SIGNALS[name]) for name in rule.guards]
    return tuple((stream, signal) for stream, signal in wanted if signal.kind == call.kind)
