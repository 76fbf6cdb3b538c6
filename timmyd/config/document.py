"""One settings file: its text, its place in words, and the line of each of its keys."""

import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from timmyd.errors import Problem

KeyPath = tuple[str | int, ...]
"""A key from the top: `("houses", 0, "name")`."""

LARGEST_BYTES = 1 << 20
_AT = re.compile(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)\Z")
_BARE = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_CLOSING = re.compile(r"[\]}]|'''|\"\"\"")


def dotted(path: KeyPath) -> str:
    """`houses[0].name`, `policies."ezra.evidence_threshold".least`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            bare = _BARE.fullmatch(part) is not None
            text += ("." if text else "") + (part if bare else json.dumps(part, ensure_ascii=True))
    return text


@dataclass(frozen=True)
class Document:
    """The text of a settings file, decoded.

    Attributes:
        name: As the operator knows it, normally the path.
        text: All of it.
        data: What TOML says it is.
        number: Its place in the order of the files.
    """

    name: str
    text: str
    data: dict[str, Any]
    number: int = 0

    @cached_property
    def lines(self) -> dict[KeyPath, int]:
        """The line of every key, counted from 1. Worked out only when there is something to say."""
        first: dict[KeyPath, int] = {}
        for path, number in _lines(self.text):
            first.setdefault(path, number)
        return first

    def line(self, path: KeyPath) -> int | None:
        """The line of a key, or of the nearest table that holds it."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.lines:
                return self.lines[path[:end]]
        return None

    def place(self, path: KeyPath) -> str:
        """`/etc/timmyd/timmyd.toml:12: schedule.tick`."""
        line = self.line(path)
        return (
            f"{self.name}: {dotted(path)}"
            if line is None
            else f"{self.name}:{line}: {dotted(path)}"
        )


def decode(text: str, name: str, number: int = 0) -> Document:
    """Decode the text of a settings file.

    Raises:
        Problem: It is no TOML; with line and column.
    """
    try:
        return Document(name, text, tomllib.loads(text), number)
    except RecursionError:
        raise Problem(name, "expected TOML, got brackets nested too deeply") from None
    except ValueError as error:
        raise _syntax(error, text, name) from None


def read(path: Path, number: int = 0) -> Document:
    """Read and decode a settings file.

    Raises:
        Problem: It cannot be read, is too large, or is no TOML.
    """
    name = str(path)
    try:
        if path.exists() and not path.is_file():
            raise Problem(name, "expected a regular file")
        with path.open("rb") as file:
            raw = file.read(LARGEST_BYTES + 1)
    except OSError as error:
        hint = "give the path of an existing file" if isinstance(error, FileNotFoundError) else None
        raise Problem(name, f"cannot be read: {error.strerror}", hint=hint) from None
    if len(raw) > LARGEST_BYTES:
        raise Problem(name, f"expected at most {LARGEST_BYTES} bytes")
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise Problem(
            f"{name}:{line}", f"expected UTF-8, got byte 0x{raw[error.start]:02x}"
        ) from None
    return decode(text, name, number)


def _syntax(error: ValueError, text: str, name: str) -> Problem:
    if not isinstance(error, tomllib.TOMLDecodeError):
        return Problem(name, "expected TOML, got a number of too many digits")
    found = _AT.search(str(error))
    what = _AT.sub("", str(error))
    if found is None:
        return Problem(name, f"expected TOML: {what}")
    last = text.count("\n") + 1
    at = f"{name}:{last}" if found[1] is None else f"{name}:{found[1]}:{found[2]}"
    return Problem(at, f"expected TOML: {what}")


def _statements(text: str) -> Iterator[tuple[int, dict[str, Any], bool]]:
    """Each statement of a valid document: its first line, its value, whether it is a header.

    A statement is complete as soon as it is valid TOML by itself.
    """
    held: list[str] = []
    first = 0
    for number, line in enumerate(text.split("\n"), start=1):
        if not held:
            first = number
        held.append(line)
        if len(held) > 1 and not _CLOSING.search(line):
            continue
        try:
            value = tomllib.loads("\n".join(held))
        except ValueError:
            continue
        if value:
            yield first, value, held[0].lstrip().startswith("[")
        held = []


def _lines(text: str) -> Iterator[tuple[KeyPath, int]]:
    counts: dict[KeyPath, int] = {}
    table: KeyPath = ()
    for number, value, header in _statements(text):
        if not header:
            for path in _paths(value):
                yield table + path, number
            continue
        table = ()
        inner: Any = value
        while isinstance(inner, dict) and inner:
            key, inner = next(iter(inner.items()))
            table += (key,)
            if isinstance(inner, list):
                counts[table] = counts.get(table, -1) + 1
            if table in counts:
                table += (counts[table],)
            yield table, number


def _paths(value: dict[str, Any]) -> Iterator[KeyPath]:
    for key, inner in value.items():
        yield (key,)
        if isinstance(inner, dict):
            yield from ((key, *path) for path in _paths(inner))
        elif isinstance(inner, list):
            for number, item in enumerate(inner):
                if isinstance(item, dict):
                    yield from ((key, number, *path) for path in _paths(item))
