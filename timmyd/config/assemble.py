"""From found values to Settings: the defaults filled in, what contradicts itself refused."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

import msgspec

from timmyd.config.document import KeyPath, dotted
from timmyd.config.kinds import did_you_mean, shown
from timmyd.config.notifications import Notification
from timmyd.config.rule_tables import PolicyTable, RuleTable
from timmyd.config.settings import (
    TASKS,
    HouseSettings,
    Outcome,
    Price,
    Settings,
    policy_spec,
)
from timmyd.config.spending import HouseBudget
from timmyd.config.tables import Reading, keys, plain
from timmyd.config.units import duration_text
from timmyd.core.judging import rules as core_rules
from timmyd.core.judging.rules.base import WILDCARD, PolicySpec, RuleSpec
from timmyd.core.tasks import DEFAULT_TASKS
from timmyd.house import policy as house_policy

_ROUNDING = 1e-9

T = TypeVar("T", bound=msgspec.Struct)


def assemble(reading: Reading) -> Settings:
    """Put the settings together and note in `reading` what does not go together.

    The result may be used only if `reading` has no problems afterwards.
    """
    policies = _policies(reading)
    tables: dict[str, Any] = {
        name: _table(reading, table, (name,)) for name, table in plain().items()
    }
    settings = Settings(
        **tables,
        houses=_houses(reading),
        policies=MappingProxyType(policies),
        rules=_rules(reading, policies),
        notify=_notify(reading),
        tasks=MappingProxyType(_tasks(reading)),
        outcomes=MappingProxyType(_named(reading, "outcomes", Outcome)),
        prices=MappingProxyType(_named(reading, "prices", Price)),
        budget=MappingProxyType(_budget(reading)),
    )
    _check_times(reading, settings)
    _check_zone(reading, settings.clock.zone)
    return settings


def _given(reading: Reading, path: KeyPath) -> dict[str, Any]:
    """The values that were written of the table at `path`, by field."""
    return {
        str(key[-1]): found.value
        for key, found in reading.given.items()
        if len(key) == len(path) + 1 and key[:-1] == path
    }


def _entries(reading: Reading, name: str) -> list[KeyPath]:
    """The tables of `[[name]]` or `[name.…]` in the order that they were first written in."""
    return [path for path in reading.given if len(path) == 2 and path[0] == name]  # noqa: PLR2004


def _table(reading: Reading, table: type[T], path: KeyPath) -> T:
    return table(**_given(reading, path))


def _named(reading: Reading, name: str, table: type[T]) -> dict[str, T]:
    return {str(path[1]): _table(reading, table, path) for path in _entries(reading, name)}


def _notify(reading: Reading) -> tuple[Notification, ...]:
    found: list[Notification] = []
    for path in _entries(reading, "notify"):
        values = _given(reading, path)
        ways = [way for way in ("exec", "webhook", "apprise") if way in values]
        if len(ways) > 1:
            paths = tuple((*path, way) for way in ways)
            reading.conflict(paths, "expected one of exec, webhook and apprise, got more")
        elif not ways and not reading.failed.intersection(
            (*path, w) for w in ("exec", "webhook", "apprise")
        ):
            reading.conflict((path,), "expected exec, webhook or apprise")
        for extra in ("body", "headers", "over", "over_body"):
            if extra in values and ways and "webhook" not in ways:
                reading.conflict(((*path, extra),), "belongs to a webhook")
        if "on" not in values:
            _lacks(reading, path, "on", "on: the events to tell")
        elif len(ways) == 1:
            found.append(Notification(**values))
    return tuple(found)


def _budget(reading: Reading) -> dict[str, HouseBudget]:
    for path in _entries(reading, "budget"):
        if not house_policy.is_house(path[1]):
            reading.conflict((path,), "expected the name of a house: 1 to 32 of a-z 0-9 _ -")
    return _named(reading, "budget", HouseBudget)


def _lacks(reading: Reading, path: KeyPath, name: str, words: str) -> None:
    """Note that the table at `path` has no `name`, unless what it has is wrong and said already."""
    if (*path, name) not in reading.failed:
        reading.conflict((path,), f"expected {words}")


def _houses(reading: Reading) -> tuple[HouseSettings, ...]:
    houses: list[HouseSettings] = []
    names: dict[str, KeyPath] = {}
    places: dict[object, str] = {}
    for path in _entries(reading, "houses"):
        values = _given(reading, path)
        name = values.get("name")
        if name is None:
            _lacks(reading, path, "name", "the name of the house")
            continue
        if name == house_policy.ROUTING:
            reading.conflict(((*path, "name"),), f"{shown(name)} is the whole fleet, not a house")
        if name in names:
            message = f"is the second house named {shown(name)}"
            reading.conflict(((*path, "name"),), message, hint="a house has one home")
        names[name] = path
        _check_place(reading, path, values, places)
        if not reading.failed.intersection({(*path, "home"), (*path, "sessions")}):
            houses.append(HouseSettings(**values))
    return tuple(houses)


def _check_place(
    reading: Reading, path: KeyPath, values: Mapping[str, Any], places: dict[object, str]
) -> None:
    home, sessions = (*path, "home"), (*path, "sessions")
    if "home" in values and "sessions" in values:
        reading.conflict((home, sessions), "expected either home or sessions, got both")
        return
    if not reading.failed.intersection({home, sessions}) and not {"home", "sessions"} & set(values):
        _lacks(reading, path, "home", "home, or sessions")
        return
    for key in ("home", "sessions"):
        if key in values:
            owner = places.setdefault(values[key], values["name"])
            if owner != values["name"]:
                reading.conflict(
                    ((*path, key),), f"{values[key]} is already house {shown(owner)}'s"
                )
    if "sessions" in values and "state_db" in values.get("sources", ()):
        reading.conflict(
            (sessions, (*path, "sources")),
            "state_db is in a Hermes home, not in a directory of sessions",
            hint="give home instead of sessions, or leave state_db out",
        )


def _policies(reading: Reading) -> dict[str, PolicySpec]:
    specs = {name: policy_spec(key) for name, key in house_policy.KEYS.items()}
    for path in _entries(reading, "policies"):
        name = str(path[1])
        known = house_policy.spec(name)
        if known is None:
            tails = ", ".join(house_policy.HOUSE_KEYS)
            hint = did_you_mean(name, list(specs)) or f'a house\'s keys are "<house>." and {tails}'
            reading.conflict((path,), "is not a policy key", hint=hint)
            continue
        spec = PolicySpec(**{**msgspec.structs.asdict(policy_spec(known)), **_given(reading, path)})
        _check_policy(reading, path, spec, known)
        specs[name] = spec
    return specs


def _check_policy(
    reading: Reading, path: KeyPath, spec: PolicySpec, known: house_policy.KeySpec
) -> None:
    default, least, most, step, pin = ((*path, key) for key in keys(PolicyTable))
    for at, value in (
        (default, spec.default),
        (least, spec.least),
        (most, spec.most),
        (pin, spec.pin),
    ):
        if value is not None and not known.hard_least <= value <= known.hard_most:
            expected = f"expected {known.hard_least:g} to {known.hard_most:g}, got {value:g}"
            reading.conflict((at,), expected, hint="no house takes a value outside these bounds")
    if spec.least > spec.most:
        reading.conflict((least, most), f"least {spec.least:g} is above most {spec.most:g}")
    elif not spec.least <= spec.default <= spec.most:
        outside = f"default {spec.default:g} is outside of {spec.least:g} to {spec.most:g}"
        reading.conflict((least, most, default), outside)
    room = spec.most - spec.least
    if 0.0 < room < spec.step - _ROUNDING:
        reading.conflict(
            (least, most, step), f"step {spec.step:g} is wider than {spec.least:g} to {spec.most:g}"
        )


def _rules(reading: Reading, policies: Mapping[str, PolicySpec]) -> tuple[RuleSpec, ...]:
    rules = {rule.name: rule for rule in core_rules.DEFAULT_RULES}
    for path in _entries(reading, "rules"):
        values = _given(reading, path)
        if "cooldown_s" in values:
            values["cooldown"] = values.pop("cooldown_s")
        if len(values.get("guard", ())) == 1:
            (values["guard"],) = values["guard"]
        name = values.get("name")
        if name is None:
            _lacks(reading, path, "name", "the name of the rule")
            continue
        if name in rules:
            rule = msgspec.structs.replace(rules[name], **values)
        else:
            required = [key.name for key in keys(RuleTable).values() if key.required]
            absent = [key for key in required if key not in values]
            for key in absent:
                _lacks(reading, path, key, f"{key}: {keys(RuleTable)[key].kind.meaning}")
            if absent:
                continue
            rule = RuleSpec(**values)
        _check_rule(reading, path, rule, policies)
        rules[name] = rule
    return tuple(rules.values())


def _check_rule(
    reading: Reading, path: KeyPath, rule: RuleSpec, policies: Mapping[str, PolicySpec]
) -> None:
    wildcards = {f"{WILDCARD}.{key}" for key in house_policy.HOUSE_KEYS}
    for field, message in core_rules.problems(rule, policies):
        key = keys(RuleTable)[field].field
        if key == "policy":
            hint = did_you_mean(rule.policy, [*policies, *wildcards])
            unset = house_policy.spec(rule.policy) is not None
            hint = f'give it a table: [policies."{rule.policy}"]' if unset else hint
            reading.conflict(
                ((*path, "policy"),), f"no policy is named {shown(rule.policy)}", hint=hint
            )
        else:
            own = (*path, key)
            words = message if own in reading.given else f"{field}: {message}"
            reading.conflict(((*path, "signal"), own), words)
    if rule.signal in rule.guards:
        at = ((*path, "signal"), (*path, "guard"))
        reading.conflict(at, f"{shown(rule.signal)} cannot guard itself")


def _tasks(reading: Reading) -> dict[str, tuple[str, ...]]:
    """The tools of each type. A tool that an operator put somewhere leaves its default type."""
    written = {
        task: reading.given[("tasks", task)] for task in TASKS if ("tasks", task) in reading.given
    }
    owner: dict[str, str] = {}
    for task, found in written.items():
        for tool in found.value:
            if tool in owner:
                at: Iterable[KeyPath] = (("tasks", owner[tool]), ("tasks", task))
                reading.conflict(tuple(at), f"{shown(tool)} is in both {owner[tool]} and {task}")
            owner[tool] = task
    return {
        task: written[task].value
        if task in written
        else tuple(tool for tool in tools if tool not in owner)
        for task, tools in DEFAULT_TASKS.items()
    }


def _check_times(reading: Reading, settings: Settings) -> None:
    """Refuse times that cannot both hold. Each line: the shorter, the longer, how often it must fit in."""
    pairs = (
        ("schedule.settle_s", "schedule.rescan_s", 1, "a file would never rest"),
        ("schedule.tick_s", "publish.life_s", 2, "the policy would expire between two ticks"),
        ("evidence.cluster_idle_s", "evidence.cluster_age_s", 1, "no session could fall silent"),
        ("breaker.wait_s", "breaker.wait_max_s", 1, "the wait only grows"),
        ("retention.hours_s", "retention.days_s", 1, "days are made of hours"),
    )
    for shorter, longer, times, why in pairs:
        (one, low), (other, high) = shorter.split("."), longer.split(".")
        least = getattr(getattr(settings, one), low) * times
        value = getattr(getattr(settings, other), high)
        if value < least:
            name = dotted((other, high.removesuffix("_s")))
            than = dotted((one, low.removesuffix("_s")))
            twice = "twice " if times == 2 else ""  # noqa: PLR2004
            reading.conflict(
                ((one, low), (other, high)),
                f"{name} {duration_text(value)} is shorter than {twice}{than}, "
                f"{duration_text(least / times)}: {why}",
            )


def _check_zone(reading: Reading, zone: str) -> None:
    if zone in {"system", "UTC"}:
        return
    from zoneinfo import ZoneInfo, available_timezones  # noqa: PLC0415 - rarely set

    try:
        ZoneInfo(zone)
    except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        hint = did_you_mean(zone, sorted(available_timezones()))
        message = f"this machine knows no time zone {shown(zone)}"
        reading.conflict((("clock", "zone"),), message, hint=hint)
