"""Settings: every table of the settings file with its defaults. The one definition: sample and schema follow it.

A field is named as the key in the file, with the unit that it is held in at its end: `tick = "30s"`
is `tick_s`, `largest = "64MiB"` is `largest_bytes`.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

import msgspec

from timmyd.config.kinds import Duration, Flag, Number, Size, Whole
from timmyd.config.notifications import Notification
from timmyd.config.quota import Quota
from timmyd.config.spending import HouseBudget
from timmyd.config.texts import HOUSE_NAME, Location, Text, Word, Words
from timmyd.config.trust import Trust
from timmyd.core.judging.rules import DEFAULT_RULES
from timmyd.core.judging.rules.base import PolicySpec, RuleSpec
from timmyd.core.model import SOURCE_NAMES
from timmyd.core.tasks import DEFAULT_TASKS
from timmyd.house.policy import KEYS, KeySpec

TASKS = tuple(DEFAULT_TASKS)
_MODES = ("enforce", "observe")


class HouseSettings(msgspec.Struct, frozen=True, kw_only=True):
    """A Hermes home that timmyd learns from. Without any: ~/.hermes and its profiles, as they appear."""

    name: Annotated[
        str,
        Text(
            "the house's name in policies and reports",
            "a house name: 1 to 32 of a-z 0-9 _ -",
            HOUSE_NAME,
        ),
    ]
    home: Annotated[Path | None, Location("the Hermes home; either this or sessions")] = None
    sessions: Annotated[Path | None, Location("a directory of session files, instead of home")] = (
        None
    )
    sources: Annotated[
        tuple[str, ...],
        Words(
            "what to read there, the best first",
            "a list of sources (telemetry, state_db, snapshot, session)",
            SOURCE_NAMES,
            least=1,
        ),
    ] = SOURCE_NAMES


class Files(msgspec.Struct, frozen=True, kw_only=True):
    """Files that timmyd writes, and the largest that it reads."""

    policy: Annotated[
        Path | None, Location("the published policy; without it policy.json in the state directory")
    ] = None
    metrics: Annotated[
        Path | None, Location("metrics as text; without it metrics.prom in the state directory")
    ] = None
    report: Annotated[
        Path | None,
        Location("the report as one page, rewritten at most every 5 minutes; without it none"),
    ] = None
    largest_bytes: Annotated[
        int, Size("a session file larger than this is reported, not read", "64KiB", "4GiB")
    ] = 64 << 20


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """When timmyd does what."""

    tick_s: Annotated[float, Duration("how often to analyze, adapt and publish", "100ms", "1h")] = (
        30.0
    )
    on_evidence: Annotated[
        bool, Flag("tick as soon as new evidence is in, at most once a second")
    ] = True
    settle_s: Annotated[
        float, Duration("how long a file rests after a change before it is read", "0s", "1m")
    ] = 0.25
    rescan_s: Annotated[
        float,
        Duration("how often to look at every directory, whatever was noticed", "1s", "1d"),
    ] = 60.0


class Publish(msgspec.Struct, frozen=True, kw_only=True):
    """The policy file that the houses obey."""

    mode: Annotated[
        str,
        Word(
            'with "observe" houses keep to the built-in values, with every breaker closed', _MODES
        ),
    ] = "enforce"
    life_s: Annotated[float, Duration("houses stop using a policy that is older", "1s", "7d")] = (
        900.0
    )


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """How long what is kept. Counts by the day outlive the executions behind them."""

    executions_s: Annotated[
        float, Duration("single executions; older ones are not taken in either", "1d", "3650d")
    ] = 90 * 86_400.0
    patterns_s: Annotated[
        float, Duration("patterns of exact arguments that were not seen again", "1d", "3650d")
    ] = 30 * 86_400.0
    hours_s: Annotated[float, Duration("counts by the hour", "1d", "3650d")] = 35 * 86_400.0
    days_s: Annotated[float, Duration("counts by the day", "1d", "3650d")] = 400 * 86_400.0


class EvidenceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How much it takes to suspect trouble. The calls of one session count as one observation."""

    limit_runs: Annotated[
        int,
        Whole("a false alarm comes at most once in so many sessions, on average", 20, 10_000_000),
    ] = 10_000
    cluster_idle_s: Annotated[
        float, Duration("a session that was silent so long is one observation", "1s", "7d")
    ] = 900.0
    cluster_size: Annotated[
        int, Whole("calls after which a session's next ones are another observation", 1, 100_000)
    ] = 50
    cluster_age_s: Annotated[
        float,
        Duration("a session that is so old is one observation, what follows another", "1s", "30d"),
    ] = 21_600.0


class ChoiceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the best model of a task type and the best house of a tool are chosen."""

    exploration: Annotated[
        float,
        Number(
            "share of calls that goes at least to what is hardly known; 0: none, the leader is used alone",
            0.0,
            0.5,
        ),
    ] = 0.02
    minimum: Annotated[
        int,
        Whole("with fewer rated calls of models, or of a tool, nothing is chosen", 1, 1_000_000),
    ] = 20
    models: Annotated[
        tuple[str, ...],
        Words("models that may be chosen before any call used them", "a list of names of models"),
    ] = ()


class BreakerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """When a failing tool or model is left alone, and when it is tried again."""

    open_at: Annotated[
        float, Number("evidence of failure that opens a breaker, as a likelihood ratio", 2.0, 1e9)
    ] = 300.0
    wait_s: Annotated[
        float, Duration("first wait before a single call is let through", "100ms", "1d")
    ] = 30.0
    wait_max_s: Annotated[
        float, Duration("the wait doubles with every failed try, up to this", "100ms", "7d")
    ] = 240.0
    probe_every_s: Annotated[
        float, Duration("time between single calls while a breaker is half open", "100ms", "1d")
    ] = 5.0
    most_open: Annotated[
        float, Number("share of a house's tools that may be open at once", 0.0, 1.0)
    ] = 0.5
    mode: Annotated[
        str, Word('with "observe" it is said what would open, and nothing is blocked', _MODES)
    ] = "enforce"


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a tool's results are judged."""

    exit_code: Annotated[
        str,
        Word("whether an exit code other than 0 is an error of this tool", ("error", "ignore")),
    ] = "error"
    failures: Annotated[
        tuple[str, ...],
        Words(
            "members of a result that mean a failure of this tool",
            'a list such as ["state=denied", "passed=false"]',
            pattern=r"[A-Za-z0-9_.-]{1,64}=.{1,64}",
        ),
    ] = ()
    data: Annotated[
        tuple[str, ...],
        Words(
            "members of a result that say nothing of how it went",
            'a list such as ["status", "ok"]',
            pattern=r"[A-Za-z0-9_.-]{1,64}",
        ),
    ] = ()


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """What a model costs. A model without a price has an unknown cost."""

    per_million_in: Annotated[float, Number("price of a million tokens read", 0.0, 1e6)] = 0.0
    per_million_out: Annotated[float, Number("price of a million tokens written", 0.0, 1e6)] = 0.0


class Log(msgspec.Struct, frozen=True, kw_only=True):
    """What timmyd says about its own work."""

    level: Annotated[str, Word("the least that is said", ("debug", "info", "warning", "error"))] = (
        "info"
    )
    format: Annotated[
        str,
        Word(
            '"auto" is journal under systemd, console on a terminal, json elsewhere',
            ("auto", "journal", "json", "console"),
        ),
    ] = "auto"


class Clock(msgspec.Struct, frozen=True, kw_only=True):
    """The hours of the day, for effects that follow them."""

    zone: Annotated[
        str,
        Text(
            'a time zone such as "Europe/Vienna"; "system" is that of the machine',
            "a time zone",
            "[A-Za-z0-9_+/-]{1,64}",
        ),
    ] = "system"


def policy_spec(key: KeySpec) -> PolicySpec:
    """A shipped policy key as its table in the settings would be."""
    return PolicySpec(default=key.default, least=key.least, most=key.most, step=key.step)


_POLICIES = MappingProxyType({name: policy_spec(key) for name, key in KEYS.items()})
_TASKS = MappingProxyType({task: tuple(tools) for task, tools in DEFAULT_TASKS.items()})


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings. `Settings()` is what holds without a file."""

    houses: tuple[HouseSettings, ...] = ()
    files: Files = Files()
    schedule: Schedule = Schedule()
    quota: Quota = Quota()
    publish: Publish = Publish()
    retention: Retention = Retention()
    evidence: EvidenceSettings = EvidenceSettings()
    choice: ChoiceSettings = ChoiceSettings()
    trust: Trust = Trust()
    breaker: BreakerSettings = BreakerSettings()
    policies: Mapping[str, PolicySpec] = msgspec.field(default_factory=lambda: _POLICIES)
    rules: tuple[RuleSpec, ...] = DEFAULT_RULES
    tasks: Mapping[str, tuple[str, ...]] = msgspec.field(default_factory=lambda: _TASKS)
    outcomes: Mapping[str, Outcome] = msgspec.field(default_factory=lambda: MappingProxyType({}))
    prices: Mapping[str, Price] = msgspec.field(default_factory=lambda: MappingProxyType({}))
    notify: tuple[Notification, ...] = ()
    budget: Mapping[str, HouseBudget] = msgspec.field(default_factory=lambda: MappingProxyType({}))
    log: Log = Log()
    clock: Clock = Clock()
