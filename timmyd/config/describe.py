"""The settings file described from its own definition: a commented sample, and a JSON Schema."""

import json
import textwrap
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from timmyd.config.rule_tables import PolicyTable, RuleTable
from timmyd.config.settings import TASKS, HouseSettings, Settings
from timmyd.config.tables import LISTS, NAMED, TASK_TOOLS, Key, Table, keys, plain
from timmyd.core.judging.rules.base import RuleSpec
from timmyd.house import policy as house_policy

_WIDTH = 96
_TAB = 8
_HEAD = """\
timmyd: settings. All are optional; what stands here behind a # is the default.
Times are written "250ms", "30s", "1h30m", "90d"; sizes "64MiB"; paths are
absolute or begin with "~/".
After a change: timmyd check, then systemctl reload timmyd. Wrong settings are
refused whole: the service goes on with the old ones and says what is wrong."""

_EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "houses": {"name": "ezra", "home": "/home/ezra/.hermes"},
    "notify": {
        "on": ["breaker_opened", "fell", "recovered", "service_trouble"],
        "exec": ["/usr/local/bin/tell-me"],
    },
    "outcomes": {"exit_code": "ignore"},
    "prices": {"per_million_in": 0.15, "per_million_out": 0.6},
    "budget": {"tokens_per_day": 2_000_000, "money_per_day": 5.0, "tokens_per_turn": 200_000},
}
_LABELS = {"outcomes": "terminal", "prices": '"hermes3:8b"', "budget": "ezra"}


def sample() -> str:
    """The complete settings file, each key with its meaning, what it may be, and its default.

    It holds nothing but comments and headers, so it changes nothing. Taking away every `#` that is
    followed by no space gives all defaults in full, with one example of each table that has none.
    """
    order = [info.name for info in msgspec.structs.fields(Settings)]
    return "\n".join([*_prose(_HEAD), *(line for name in order for line in _section(name))]) + "\n"


def _section(name: str) -> Iterator[str]:
    yield ""
    if name in plain():
        table = plain()[name]
        yield from _prose(_what(table))
        yield f"[{name}]"
        yield from _keys(table, {})
    elif name == "tasks":
        yield from _prose(
            "Which tools do what kind of work; all others are of the type other. A tool that is "
            "written under another type leaves its own. " + TASK_TOOLS.meaning
        )
        yield "[tasks]"
        for task, tools in Settings().tasks.items():
            yield from _value(f"{task} = {TASK_TOOLS.write(tools)}")
    elif name == "policies":
        yield from _policies()
    elif name == "rules":
        yield from _rules()
    else:
        table = LISTS[name] if name in LISTS else NAMED[name]
        yield from _prose(_what(table))
        yield f"#[[{name}]]" if name in LISTS else f"#[{name}.{_LABELS[name]}]"
        yield from _keys(table, _EXAMPLES[name])


def _policies() -> Iterator[str]:
    yield from _prose(_what(PolicyTable))
    yield from _legend(keys(PolicyTable).values())
    yield from _prose('Any house may have the keys of a house: [policies."<house>.<key>"].')
    for name, known in house_policy.KEYS.items():
        spec = Settings().policies[name]
        yield ""
        yield from _prose(known.meaning[:1].upper() + known.meaning[1:] + ".")
        yield f'#[policies."{name}"]'
        values = {
            key: value for key, value in msgspec.structs.asdict(spec).items() if value is not None
        }
        yield "#" + "\n#".join(f"{key} = {value!r}" for key, value in values.items())


def _rules() -> Iterator[str]:
    yield from _prose(_what(RuleTable))
    yield from _legend(keys(RuleTable).values())
    for rule in Settings().rules:
        yield ""
        yield "#[[rules]]"
        for key in keys(RuleTable).values():
            value = _of_rule(rule, key)
            if value is not None:
                yield f"#{key.name} = {key.kind.write(value)}"


def _of_rule(rule: RuleSpec, key: Key) -> Any:
    if key.name == "guard":
        return rule.guards or None
    return getattr(rule, key.name)


def _keys(table: Table, example: Mapping[str, Any]) -> Iterator[str]:
    """The keys of a table, each under its explanation."""
    for key in keys(table).values():
        yield from _explained(key)
        if key.name in example:
            yield from _value(f"{key.name} = {_toml(example[key.name])}")
        elif key.default is not None:
            yield from _value(f"{key.name} = {key.kind.write(key.default)}")
        else:
            yield f'# {key.name} = "…"'


def _explained(key: Key) -> list[str]:
    return _prose(_sentence(key))


def _legend(known: Iterable[Key]) -> Iterator[str]:
    for key in known:
        yield from textwrap.wrap(
            f"{key.name}: {_sentence(key)}",
            _WIDTH,
            initial_indent="#   ",
            subsequent_indent="#       ",
        )


def _sentence(key: Key) -> str:
    """What a key does, and what it may be."""
    meaning = key.kind.meaning[:1].upper() + key.kind.meaning[1:]
    return f"{meaning} ({key.kind.allowed})." if key.kind.allowed else f"{meaning}."


def _what(table: Table) -> str:
    """The docstring of a table, its paragraphs joined."""
    return " ".join(str(table.__doc__).split())


def _prose(text: str) -> list[str]:
    lines = [line for part in text.splitlines() for line in textwrap.wrap(part, _WIDTH - 2)]
    return [f"# {line}" for line in lines]


def _value(text: str) -> list[str]:
    """A key with its value, a long list over several lines; every line can be uncommented."""
    if len(text) < _WIDTH:
        return [f"#{text}"]
    name, _, items = text.partition(" = ")
    lines = [""]
    for item in tomllib.loads(f"x = {items}")["x"]:
        word = json.dumps(item, ensure_ascii=False) + ","
        if lines[-1] and len(lines[-1]) + len(word) + _TAB >= _WIDTH:
            lines.append("")
        lines[-1] += (" " if lines[-1] else "") + word
    return [f"#{name} = [", *(f"#\t{line}" for line in lines), "#]"]


def _toml(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a settings file as TOML decodes it: times and sizes are strings."""
    properties: dict[str, Any] = {}
    for info in msgspec.structs.fields(Settings):
        name = info.name
        if name in plain():
            properties[name] = _table_schema(plain()[name])
        elif name == "tasks":
            words = TASK_TOOLS.schema() | {"description": TASK_TOOLS.meaning}
            properties[name] = _object(dict.fromkeys(TASKS, words))
        elif name in LISTS:
            properties[name] = {"type": "array", "items": _table_schema(LISTS[name])}
        else:
            properties[name] = {
                "type": "object",
                "additionalProperties": _table_schema(NAMED[name]),
                "propertyNames": _names(name),
            }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "timmyd.toml",
        "description": "The settings of timmyd. All are optional.",
        **_object(properties),
    }


def _names(name: str) -> dict[str, Any]:
    if name != "policies":
        return {"type": "string", "minLength": 1}
    house_keys = "|".join(house_policy.HOUSE_KEYS)
    anywhere = {"pattern": rf"^(?!{house_policy.ROUTING}\.)[a-z0-9_-]{{1,32}}\.({house_keys})$"}
    return {"anyOf": [{"enum": list(house_policy.KEYS)}, anywhere]}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _table_schema(table: Table) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for key in keys(table).values():
        properties[key.name] = key.kind.schema() | {"description": key.kind.meaning}
        if key.default is not None:
            properties[key.name]["default"] = _plain(key)
    found = _object(properties) | {"description": _what(table)}
    if table is HouseSettings:
        found["oneOf"] = [{"required": ["home"]}, {"required": ["sessions"]}]
    if table in {HouseSettings, RuleTable}:
        found["required"] = ["name"]
    return found


def _plain(key: Key) -> Any:
    """The default as the file would hold it."""
    return tomllib.loads(f"value = {key.kind.write(key.default)}")["value"]
