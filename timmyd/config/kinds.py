"""PURE: the kinds of values in a settings file: each reads, writes and describes one. Times and numbers here."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from timmyd.config.units import (
    DURATION_PATTERN,
    SIZE_PATTERN,
    duration_s,
    duration_text,
    size_bytes,
    size_text,
)

_LONGEST_SHOWN = 60


class Unexpected(ValueError):  # noqa: N818 - becomes a Problem where the place is known
    """A value that is not what was expected: the sentence "expected …, got …".

    Attributes:
        expected: The first half.
        found: The second half, where it is not simply the value.
        hint: What to do, where that is known.
    """

    def __init__(self, expected: str, *, found: str | None = None, hint: str | None = None) -> None:
        self.expected = expected
        self.found = found
        self.hint = hint
        super().__init__(expected)


def shown(value: object) -> str:
    """A found value for a message: one line, printable, short."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            text = json.dumps(value)
        case int():
            # A number of thousands of digits cannot even be written out (CVE-2020-10735).
            text = str(value) if abs(value) < 10**_LONGEST_SHOWN else "a huge number"
        case float():
            text = str(value)
        case Mapping():
            return "a table"
        case Sequence():
            return "a list" if value else "an empty list"
        case _:
            return "a date or a time"
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…"


def quoted(names: Sequence[str]) -> str:
    """`"a", "b" or "c"`."""
    words = [json.dumps(name) for name in names]
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " or " + words[-1]


def did_you_mean(found: object, known: Sequence[str]) -> str | None:
    """A hint with the nearest known word; None where nothing is near."""
    from difflib import get_close_matches  # noqa: PLC0415 - needed only when something is wrong

    near = get_close_matches(found, known, n=1) if isinstance(found, str) else []
    return f"did you mean {json.dumps(near[0])}?" if near else None


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


class Kind(Protocol):
    """What one key of a settings file may hold."""

    @property
    def meaning(self) -> str:
        """What the key does, in words for an operator."""

    @property
    def expected(self) -> str:
        """What it may be, as the end of "expected …"."""

    @property
    def allowed(self) -> str:
        """The same in short, for one who knows the kind; empty where there is nothing to say."""

    def read(self, value: object) -> Any:
        """The value as the program uses it; raises Unexpected."""

    def write(self, value: Any) -> str:
        """The value as TOML."""

    def schema(self) -> dict[str, Any]:
        """The JSON Schema of what `read` takes."""


class Duration(msgspec.Struct, frozen=True):
    """A time span, in the file such as `"30s"`, in the program seconds."""

    meaning: str
    least: str
    most: str

    @property
    def expected(self) -> str:
        """The range."""
        return f"a duration from {self.allowed}"

    @property
    def allowed(self) -> str:
        """The range."""
        return f'"{self.least}" to "{self.most}"'

    def read(self, value: object) -> float:
        """Seconds."""
        try:
            seconds = duration_s(value) if isinstance(value, str) else -1.0
        except ValueError:
            seconds = -1.0
        if seconds < 0:
            raise Unexpected(
                self.expected, hint='write it with units: "250ms", "30s", "1h30m", "90d"'
            )
        if not duration_s(self.least) <= seconds <= duration_s(self.most):
            raise Unexpected(self.expected)
        return seconds

    def write(self, value: float) -> str:
        """Such as `"30s"`."""
        return json.dumps(duration_text(value))

    def schema(self) -> dict[str, Any]:
        """A string with units."""
        return {"type": "string", "pattern": DURATION_PATTERN}


class Size(msgspec.Struct, frozen=True):
    """A size, in the file such as `"64MiB"`, in the program bytes."""

    meaning: str
    least: str
    most: str

    @property
    def expected(self) -> str:
        """The range."""
        return f"a size from {self.allowed}"

    @property
    def allowed(self) -> str:
        """The range."""
        return f'"{self.least}" to "{self.most}"'

    def read(self, value: object) -> int:
        """Bytes."""
        try:
            size = size_bytes(value) if isinstance(value, str) else -1
        except ValueError:
            size = -1
        if size < 0:
            raise Unexpected(self.expected, hint='write it with a unit: "500KB", "64MiB", "2GiB"')
        if not size_bytes(self.least) <= size <= size_bytes(self.most):
            raise Unexpected(self.expected)
        return size

    def write(self, value: int) -> str:
        """Such as `"64MiB"`."""
        return json.dumps(size_text(value))

    def schema(self) -> dict[str, Any]:
        """A string with a unit."""
        return {"type": "string", "pattern": SIZE_PATTERN}


class Number(msgspec.Struct, frozen=True):
    """A number from `least` to `most`; with `above`, the lower end itself is left out."""

    meaning: str
    least: float
    most: float
    above: bool = False

    def read(self, value: object) -> float:
        """A finite float; an integer is taken too."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise Unexpected(self.expected)
        inside = self.least <= value <= self.most and math.isfinite(value)
        if not inside or (self.above and value == self.least):
            raise Unexpected(self.expected)
        return float(value)

    @property
    def expected(self) -> str:
        """The range."""
        return f"a number {'' if self.above else 'from '}{self.allowed}"

    @property
    def allowed(self) -> str:
        """The range."""
        between = ", at most" if self.above else " to"
        return f"{'above ' * self.above}{_number(self.least)}{between} {_number(self.most)}"

    def write(self, value: float) -> str:
        """A TOML float."""
        return repr(float(value))

    def schema(self) -> dict[str, Any]:
        """A bounded number."""
        lower = "exclusiveMinimum" if self.above else "minimum"
        return {"type": "number", lower: self.least, "maximum": self.most}


class Whole(msgspec.Struct, frozen=True):
    """A whole number from `least` to `most`."""

    meaning: str
    least: int
    most: int

    def read(self, value: object) -> int:
        """An integer; 20.0 is none."""
        if isinstance(value, bool) or not isinstance(value, int):
            raise Unexpected(self.expected)
        if not self.least <= value <= self.most:
            raise Unexpected(self.expected)
        return value

    @property
    def expected(self) -> str:
        """The range."""
        return f"a whole number from {self.allowed}"

    @property
    def allowed(self) -> str:
        """The range."""
        return f"{self.least} to {self.most}"

    def write(self, value: int) -> str:
        """A TOML integer."""
        return str(value)

    def schema(self) -> dict[str, Any]:
        """A bounded integer."""
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


class Flag(msgspec.Struct, frozen=True):
    """True or false."""

    meaning: str
    expected: str = "true or false"
    allowed: str = ""

    def read(self, value: object) -> bool:
        """A boolean; 1 and "yes" are none."""
        if not isinstance(value, bool):
            raise Unexpected(self.expected)
        return value

    def write(self, value: bool) -> str:  # noqa: FBT001 - the value itself
        """`true` or `false`."""
        return "true" if value else "false"

    def schema(self) -> dict[str, Any]:
        """A boolean."""
        return {"type": "boolean"}
