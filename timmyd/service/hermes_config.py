"""Enable and disable one plugin in a Hermes `config.yaml` by changing nothing but its own lines.

The file is the user's: comments, order, quoting and line ends stay byte for byte. A layout that
this small reader does not fully understand is refused, never guessed at.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from timmyd.errors import TimmyError

_BLOCK = ("plugins", "enabled")
_KEY = re.compile(
    r"""^(?P<indent> *)(?P<quote>["']?)(?P<key>[A-Za-z0-9_.-]+)(?P=quote):(?P<rest>\s.*|)$"""
)
_ITEM = re.compile(r"^(?P<indent> *)-(?P<rest> .*|)$")
_PLAIN_ITEM = re.compile(r"""^\s*(["']?)(?P<name>[A-Za-z0-9_./-]+)\1\s*(#.*)?$""")
_FLOW = re.compile(r"^(?P<open>\s*\[)(?P<items>[^\[\]{}#&*!|>\n]*)(?P<close>\]\s*(?:#.*)?)$")
_NOTHING = re.compile(r"^\s*(#.*)?$")


class ConfigLayoutError(TimmyError):
    """The layout of a `config.yaml` is beyond a careful edit; the user must do it."""

    def __init__(self, line: int, found: str) -> None:
        where = f"config.yaml line {line}" if line else "config.yaml"
        super().__init__(
            f"{where}: {found}\n  hint: add `timmy` to the list `plugins.enabled` yourself, "
            "then run the command again"
        )


@dataclass(frozen=True, slots=True)
class Edit:
    """Text to insert, and where; its inverse gives back the same bytes.

    Attributes:
        offset: Bytes from the start of the file.
        text: What to insert there.
    """

    offset: int
    text: bytes

    def apply(self, data: bytes) -> bytes:
        """The file with the text in it."""
        return data[: self.offset] + self.text + data[self.offset :]

    def undo(self, data: bytes) -> bytes | None:
        """The file without the text; None if it is not there any more."""
        end = self.offset + len(self.text)
        if data[self.offset : end] != self.text:
            return None
        return data[: self.offset] + data[end:]


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    start: int
    text: str
    end: str

    @property
    def indent(self) -> int:
        return len(self.text) - len(self.text.lstrip(" "))

    @property
    def is_nothing(self) -> bool:
        return _NOTHING.match(self.text) is not None


def is_enabled(data: bytes, name: str) -> bool:
    """Whether `plugins.enabled` lists the plugin and `plugins.disabled` does not.

    Raises:
        ConfigLayoutError: The file cannot be read with certainty.
    """
    lines = _lines(data)
    return name in _names(lines, "enabled") and name not in _names(lines, "disabled")


def enabling(data: bytes, name: str) -> Edit | None:
    """The edit that enables a plugin; None if it is enabled already.

    Raises:
        ConfigLayoutError: No careful edit is possible, or the user has disabled the plugin.
    """
    lines = _lines(data)
    if name in _names(lines, "disabled"):
        raise ConfigLayoutError(0, f"`plugins.disabled` lists {name}, so Hermes would not load it")
    if name in _names(lines, "enabled"):
        return None
    edit = _edit(data, lines, name)
    _verify(data, edit.apply(data), name)
    return edit


def disabling(data: bytes, name: str) -> bytes:
    """The file without the plugin, after somebody else changed it; its line goes, the rest stays.

    Raises:
        ConfigLayoutError: No careful edit is possible.
    """
    lines = _lines(data)
    key = _find(lines, _BLOCK)
    if key is None or name not in _names(lines, "enabled"):
        return data
    flow = _FLOW.match(_rest(key))
    if flow is not None:
        parts = flow["items"].split(",")
        kept = ",".join(part for part in parts if part.strip().strip("\"'") != name)
        head = key.text[: len(key.text) - len(_rest(key))]
        return _replaced(data, key, head + flow["open"] + kept.lstrip() + flow["close"])
    for line in _children(lines, key):
        item = _ITEM.match(line.text)
        if item is not None and _item_name(item["rest"]) == name:
            end = line.start + len((line.text + line.end).encode())
            return data[: line.start] + data[end:]
    return data


def _lines(data: bytes) -> list[_Line]:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigLayoutError(0, "expected UTF-8 text") from None
    lines, start = [], 0
    for number, raw in enumerate(text.splitlines(keepends=True), 1):
        body = raw.rstrip("\r\n")
        lines.append(_Line(number, start, body.removeprefix("\ufeff"), raw[len(body) :]))
        start += len(raw.encode())
        if number > 1 and re.match(r"(---|\.\.\.)(\s|$)", body) and _has_content(lines[:-1]):
            raise ConfigLayoutError(number, "expected one YAML document, found several")
        if body.lstrip(" ").startswith("\t"):
            raise ConfigLayoutError(number, "found a tab in the indentation")
    return lines


def _has_content(lines: list[_Line]) -> bool:
    return any(not line.is_nothing and not line.text.startswith(("%", "---")) for line in lines)


def _find(lines: list[_Line], path: tuple[str, ...]) -> _Line | None:
    """The line of a nested block key; None if there is none."""
    found: _Line | None = None
    for depth, name in enumerate(path):
        inside = lines if found is None else _children(lines, found)
        level = 0 if depth == 0 else min((x.indent for x in inside if not x.is_nothing), default=0)
        keys = [
            line
            for line in inside
            if (key := _KEY.match(line.text)) is not None
            and key["key"] == name
            and len(key["indent"]) == level
        ]
        if len(keys) > 1:
            raise ConfigLayoutError(keys[1].number, f"found `{name}` twice")
        if not keys:
            return None
        found = keys[0]
    return found


def _children(lines: list[_Line], key: _Line) -> list[_Line]:
    """The lines below a block key, up to the next line that is not deeper.

    The items of a list may stand at the same depth as their key.
    """
    below: list[_Line] = []
    for line in lines[key.number :]:
        if not line.is_nothing:
            same = line.indent == key.indent and _ITEM.match(line.text) is not None
            if line.indent <= key.indent and not same:
                break
        below.append(line)
    while below and below[-1].is_nothing:
        below.pop()
    return below


def _rest(line: _Line) -> str:
    """What stands behind the colon of a key."""
    key = _KEY.match(line.text)
    return key["rest"] if key is not None else ""


def _names(lines: list[_Line], which: str) -> list[str]:
    """The names in `plugins.<which>`."""
    plugins = _find(lines, _BLOCK[:1])
    if plugins is None:
        return []
    if not _NOTHING.match(_rest(plugins)):
        raise ConfigLayoutError(plugins.number, "expected `plugins:` as a block of keys")
    key = _find(lines, (_BLOCK[0], which))
    if key is None:
        return []
    flow = _FLOW.match(_rest(key))
    if flow is not None:
        parts = [part.strip().strip("\"'") for part in flow["items"].split(",")]
        return [part for part in parts if part]
    if not _NOTHING.match(_rest(key)):
        raise ConfigLayoutError(key.number, f"expected `{which}:` as a list")
    names: list[str] = []
    for line in _children(lines, key):
        if line.is_nothing:
            continue
        item = _ITEM.match(line.text)
        name = None if item is None else _item_name(item["rest"])
        if name is None:
            raise ConfigLayoutError(line.number, f"expected a plain name in the list `{which}`")
        names.append(name)
    return names


def _item_name(rest: str) -> str | None:
    found = _PLAIN_ITEM.match(rest)
    return None if found is None else found["name"]


def _edit(data: bytes, lines: list[_Line], name: str) -> Edit:
    newline = next((line.end for line in lines if line.end), "\n")
    plugins, key = _find(lines, _BLOCK[:1]), _find(lines, _BLOCK)
    if plugins is None:
        return _at_end(
            data, lines, f"plugins:{newline}  enabled:{newline}    - {name}{newline}", newline
        )
    if key is None:
        below = [line for line in _children(lines, plugins) if not line.is_nothing]
        pad = " " * (below[0].indent if below else plugins.indent + 2)
        text = f"{pad}enabled:{newline}{pad}  - {name}{newline}"
        return _after(data, plugins, text, newline)
    flow = _FLOW.match(_rest(key))
    if flow is not None:
        items = flow["items"].rstrip()
        head = len(key.text) - len(_rest(key)) + len(flow["open"]) + len(items)
        lead = "" if not items.strip() else (" " if items.endswith(",") else ", ")
        return Edit(key.start + len(key.text[:head].encode()), f"{lead}{name}".encode())
    items_ = [line for line in _children(lines, key) if not line.is_nothing]
    pad = " " * (items_[-1].indent if items_ else key.indent + 2)
    return _after(data, items_[-1] if items_ else key, f"{pad}- {name}{newline}", newline)


def _after(data: bytes, line: _Line, text: str, newline: str) -> Edit:
    end = line.start + len((line.text + line.end).encode())
    if line.number == 1 and data.startswith(b"\xef\xbb\xbf"):
        end += 3
    return Edit(end, (text if line.end else newline + text.removesuffix(newline)).encode())


def _at_end(data: bytes, lines: list[_Line], text: str, newline: str) -> Edit:
    if lines and lines[-1].text.startswith("..."):
        raise ConfigLayoutError(lines[-1].number, "expected no end of the document")
    first = next((line for line in lines if not line.is_nothing and line.text[:3] != "---"), None)
    if first is not None and (_KEY.match(first.text) is None or first.indent):
        raise ConfigLayoutError(first.number, "expected a block of keys that are not indented")
    lead = "" if not lines or lines[-1].end else newline
    return Edit(len(data), (lead + text).encode())


def _replaced(data: bytes, line: _Line, text: str) -> bytes:
    return data[: line.start] + text.encode() + data[line.start + len(line.text.encode()) :]


def _verify(before: bytes, after: bytes, name: str) -> None:
    """Check the edit with a real YAML parser where one is installed, else with our own reader."""
    old, new = _parsed(before), _parsed(after)
    if new is None:
        if name not in _names(_lines(after), "enabled"):
            raise ConfigLayoutError(0, "the edit did not come out as meant")
        return
    wanted: dict[str, Any] = dict(old or {})
    plugins = dict(wanted.get("plugins") or {})
    plugins["enabled"] = [*(plugins.get("enabled") or []), name]
    wanted["plugins"] = plugins
    if new != wanted:
        raise ConfigLayoutError(0, "the edit did not come out as meant")


def _parsed(data: bytes) -> Mapping[str, Any] | None:
    """The document as a YAML parser sees it; None without a parser."""
    if find_spec("ruamel") is None or find_spec("ruamel.yaml") is None:
        return None
    yaml = import_module("ruamel.yaml")
    try:
        found = yaml.YAML(typ="safe", pure=True).load(data.decode("utf-8"))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = 0 if mark is None else mark.line + 1
        raise ConfigLayoutError(line, "is not valid YAML as it stands") from None
    if found is not None and not isinstance(found, dict):
        raise ConfigLayoutError(1, "expected a block of keys")
    return dict(found or {})
