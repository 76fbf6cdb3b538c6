"""The parts of the learned state out of what was kept of them, also by earlier versions."""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Final

import msgspec

from timmyd.config import Settings
from timmyd.core.judging.fallbacks import Fallbacks
from timmyd.core.judging.houses import house_specs
from timmyd.core.judging.judgement import Judgement, StateError
from timmyd.core.model import Execution
from timmyd.engine.formats import settled
from timmyd.house.breaker import BreakerRule, Breakers

HOUSES_MOST: Final = 16
"""Houses of one owner whose policies are judged; those that came first."""

REBUILD_MOST: Final = 100_000
"""Executions, the newest ones, that a part is rebuilt from; what is older has faded in it anyway."""


class Rebuild(msgspec.Struct):
    """What is being learned from the rows again, and how far.

    Attributes:
        parts: Names of the parts; none where nothing is rebuilt.
        upto: Executions up to this id were taken in by them.
    """

    parts: list[str] = []
    upto: int = 0

    def has(self, part: str, execution: int) -> bool:
        """Whether a part will come to an execution by itself, so that it must not learn it now."""
        return part in self.parts and execution > self.upto


def rebuild_of(saved: Mapping[str, bytes]) -> Rebuild:
    """What was being rebuilt, and what must be because it is of another form."""
    found = Rebuild()
    with suppress(msgspec.MsgspecError):
        found = msgspec.json.decode(saved.get("rebuild", b"{}"), type=Rebuild)
    parts = [part for part, _, fate in settled(saved) if fate == "rebuilt"]
    return begin_anew(found, parts, saved) if parts else found


def begin_anew(found: Rebuild, parts: list[str], saved: Mapping[str, bytes]) -> Rebuild:
    """All that is rebuilt begins at the same row."""
    mark = int(saved.get("mark", b"0"))
    return Rebuild(sorted({*found.parts, *parts}), max(0, mark - REBUILD_MOST))


def load_judgement(
    settings: Settings, saved: Mapping[str, bytes], houses: Iterable[str]
) -> Judgement:
    """The judgement under the present settings, with the keys of these houses.

    Raises:
        StateError: It cannot be read.
    """
    data, evidence = saved.get("judgement"), settings.evidence
    specs = {key: spec for house in houses for key, spec in house_specs(house).items()}
    older = any(part == "judgement" for part, _, _ in settled(saved))
    begin = Judgement if data is None else partial(Judgement.load, data, older=older)
    return begin(
        settings.rules,
        {**specs, **settings.policies},
        limit_runs=float(evidence.limit_runs),
        cluster_idle_s=evidence.cluster_idle_s,
        cluster_size=evidence.cluster_size,
        cluster_age_s=evidence.cluster_age_s,
    )


def breaker_rule(settings: Settings) -> BreakerRule:
    """The breakers' rule of the settings."""
    table = settings.breaker
    return BreakerRule(
        open_at=table.open_at,
        wait_s=table.wait_s,
        wait_max_s=table.wait_max_s,
        probe_every_s=table.probe_every_s,
    )


def load_breakers(settings: Settings, saved: Mapping[str, bytes]) -> Breakers:
    """The breakers under the present settings.

    Raises:
        StateError: They cannot be read.
    """
    raw = saved.get("breakers")
    try:
        found = None if raw is None else json.loads(raw)
    except ValueError as error:
        raise StateError("breakers") from error
    return Breakers.from_dict(
        found,
        breaker_rule(settings),
        most_open=settings.breaker.most_open,
        opens_alone=False,
        seed="daemon",
    )


def load_fallbacks(saved: Mapping[str, bytes]) -> Fallbacks:
    """What is known of calls that fell back; it tells of hours, so what cannot be read is let go."""
    with suppress(KeyError, msgspec.MsgspecError):
        return msgspec.msgpack.decode(saved["fallbacks"], type=Fallbacks)
    return Fallbacks()


def meet(judged: dict[str, str], executions: Iterable[Execution]) -> bool:
    """Take in whose the houses of these calls are, as many of an owner; True if one is new."""
    found = False
    for execution in executions:
        if execution.house not in judged:
            mine = sum(owner == execution.owner for owner in judged.values())
            if mine < HOUSES_MOST:
                judged[execution.house] = execution.owner
                found = True
    return found
