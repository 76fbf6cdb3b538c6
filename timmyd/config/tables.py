"""From decoded files to found values: every key checked by its kind, every problem collected."""

from collections.abc import Mapping
from functools import cache
from typing import Any, get_type_hints

import msgspec

from timmyd.config.document import Document, KeyPath, dotted
from timmyd.config.kinds import Kind, Unexpected, did_you_mean, shown
from timmyd.config.notifications import Notification
from timmyd.config.rule_tables import PolicyTable, RuleTable
from timmyd.config.settings import (
    TASKS,
    HouseSettings,
    Outcome,
    Price,
    Settings,
)
from timmyd.config.spending import HouseBudget
from timmyd.config.texts import Words
from timmyd.errors import Problem

Table = type[msgspec.Struct]

LISTS: Mapping[str, Table] = {"houses": HouseSettings, "rules": RuleTable, "notify": Notification}
"""`[[houses]]`, `[[rules]]`, `[[notify]]`."""
NAMED: Mapping[str, Table] = {
    "policies": PolicyTable,
    "outcomes": Outcome,
    "prices": Price,
    "budget": HouseBudget,
}
"""`[policies."<key>"]`, `[outcomes.<tool>]`, `[prices."<model>"]`, `[budget.<house>]`."""
TASK_TOOLS = Words(
    'A tool, or a tool and how its shapes begin, such as "terminal:git status".',
    "a list of different `tool` or `tool:shape`",
    pattern=r"(?=.{1,128}$)[^\s:]+( [^\s:]+)*(:\S+( \S+)*)?",
)
_UNITS = ("_s", "_bytes")
_RATE = "_per_s"


class Key(msgspec.Struct, frozen=True):
    """One key of a table: its name in the file, its field in the program, what it may be."""

    name: str
    field: str
    kind: Kind
    default: Any
    required: bool


def key_name(field: str) -> str:
    """What a field is called in a file: without its unit, but a rate keeps the second it is per."""
    if field.endswith(_RATE):
        return field
    for unit in _UNITS:
        field = field.removesuffix(unit)
    return field


@cache
def keys(table: Table) -> Mapping[str, Key]:
    """The keys of a table by their names in the file, in the order of its definition."""
    hints = get_type_hints(table, include_extras=True)
    found: dict[str, Key] = {}
    for info in msgspec.structs.fields(table):
        name = key_name(info.name)
        found[name] = Key(
            name=name,
            field=info.name,
            kind=hints[info.name].__metadata__[0],
            default=None if info.required else info.default,
            required=info.required,
        )
    return found


@cache
def plain() -> Mapping[str, Table]:
    """The tables that stand once: `[files]`, `[schedule]` and so on."""
    special = {*LISTS, *NAMED, "tasks"}
    hints = get_type_hints(Settings)
    return {
        info.name: hints[info.name]
        for info in msgspec.structs.fields(Settings)
        if info.name not in special
    }


class Found(msgspec.Struct, frozen=True):
    """A value that an operator wrote, and where."""

    value: Any
    document: Document
    path: KeyPath


class Reading(msgspec.Struct):
    """What was read so far, of all files.

    Attributes:
        given: Every valid value by its path; rules go by name, other lists are numbered through all files.
        failed: The paths of values that were wrong, so that nothing is concluded from them.
        found: The problems, with where they belong in the order of files and lines.
    """

    given: dict[KeyPath, Found] = msgspec.field(default_factory=dict)
    failed: set[KeyPath] = msgspec.field(default_factory=set)
    found: list[tuple[int, int, Problem]] = msgspec.field(default_factory=list)
    numbered: dict[str, int] = msgspec.field(default_factory=dict)

    def wrong(self, problem: Problem, *, file: int, line: int | None = None) -> None:
        """Note a problem of file number `file`."""
        self.found.append((file, line or 0, problem))

    def problems(self) -> list[Problem]:
        """All of them, in the order of files and lines."""
        return [problem for _, _, problem in sorted(self.found, key=lambda item: item[:2])]

    def conflict(
        self, paths: tuple[KeyPath, ...], message: str, *, hint: str | None = None
    ) -> None:
        """Note that the values at `paths` do not go together; silent if one of them is wrong anyway.

        The problem is said of the last of them that an operator wrote.
        """
        if any(path in self.failed for path in paths):
            return
        written = [self.given[path] for path in paths if path in self.given]
        if not written:
            return
        at = written[-1]
        self._say(at.document, at.path, message, hint)

    def _say(
        self, document: Document, path: KeyPath, message: str, hint: str | None = None
    ) -> None:
        problem = Problem(document.place(path), message, hint=hint)
        self.wrong(problem, file=document.number, line=document.line(path))

    def take(self, document: Document) -> None:
        """Take in one file; later ones win, key by key."""
        for name, value in document.data.items():
            self._take_top(document, name, value)

    def _take_top(self, document: Document, name: str, value: object) -> None:
        if name in LISTS:
            self._take_list(document, name, value)
        elif name in plain() or name in NAMED or name == "tasks":
            if not isinstance(value, dict):
                self._say(document, (name,), f"expected a table, got {shown(value)}")
            elif name in plain():
                self._take_table(document, plain()[name], value, (name,), (name,))
            elif name == "tasks":
                self._take_tasks(document, value)
            else:
                self._take_named(document, name, value)
        else:
            tables = [*plain(), *LISTS, *NAMED, "tasks"]
            homes = [f"[{table}] {name}" for table in plain() if name in keys(plain()[table])]
            hint = (
                f"it belongs under {homes[0].split()[0]}" if homes else did_you_mean(name, tables)
            )
            self._say(
                document, (name,), "is not a setting", hint or "the tables are " + ", ".join(tables)
            )

    def _take_table(
        self, document: Document, table: Table, value: dict[str, Any], here: KeyPath, there: KeyPath
    ) -> None:
        """Read a table that stands at `here` in its file and goes to `there` in the settings."""
        known = keys(table)
        for name, item in value.items():
            key = known.get(name)
            if key is None:
                hint = _hint(name, here, known)
                self._say(document, (*here, name), "is not a setting", hint)
                continue
            self._take_value(document, key.kind, item, (*here, name), (*there, key.field))

    def _take_value(
        self, document: Document, kind: Kind, item: object, here: KeyPath, there: KeyPath
    ) -> None:
        try:
            self.given[there] = Found(kind.read(item), document, here)
            self.failed.discard(there)
        except Unexpected as error:
            self.failed.add(there)
            found = shown(item) if error.found is None else error.found
            self._say(document, here, f"expected {error.expected}, got {found}", error.hint)

    def _take_tasks(self, document: Document, value: dict[str, Any]) -> None:
        for name, item in value.items():
            if name in TASKS:
                self._take_value(document, TASK_TOOLS, item, ("tasks", name), ("tasks", name))
            else:
                hint = did_you_mean(name, TASKS) or "the task types are " + ", ".join(TASKS)
                self._say(document, ("tasks", name), "is not a task type", hint)

    def _take_named(self, document: Document, name: str, value: dict[str, Any]) -> None:
        for label, item in value.items():
            path = (name, label)
            if not isinstance(item, dict):
                self._say(document, path, f"expected a table, got {shown(item)}")
            elif not label or not label.isprintable():
                self._say(document, path, "expected a printable name")
            elif name == "policies" and item and all(isinstance(v, dict) for v in item.values()):
                key = f"{label}.{next(iter(item))}"
                self._say(document, path, "expected a policy key", f'quote it: [policies."{key}"]')
            else:
                self._take_table(document, NAMED[name], item, path, path)
                self.given.setdefault(path, Found(None, document, path))

    def _take_list(self, document: Document, name: str, value: object) -> None:
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            self._say(
                document, (name,), f"expected tables, each under [[{name}]], got {shown(value)}"
            )
            return
        names: set[str] = set()
        for number, item in enumerate(value):
            here = (name, number)
            if name != "rules":
                there: KeyPath = (name, self.numbered.get(name, 0))
                self.numbered[name] = self.numbered.get(name, 0) + 1
            else:
                label = item.get("name")
                there = (name, label if isinstance(label, str) else number)
                if isinstance(label, str) and label in names:
                    self._say(document, (*here, "name"), f"is the second rule named {shown(label)}")
                    continue
                names.add(str(label))
            self._take_table(document, LISTS[name], item, here, there)
            self.given.setdefault(there, Found(None, document, here))


def _hint(name: str, here: KeyPath, known: Mapping[str, Key]) -> str:
    elsewhere = [table for table in plain() if name in keys(plain()[table])]
    near = did_you_mean(name, list(known))
    if near is not None:
        return near
    if elsewhere:
        return f"it belongs under [{elsewhere[0]}]"
    return f"the keys of {dotted(here)} are " + ", ".join(known)
