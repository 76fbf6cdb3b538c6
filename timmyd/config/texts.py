"""PURE: the kinds of text in a settings file: a word of a few, a free one, a path, a list of words."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from timmyd.config.kinds import Unexpected, did_you_mean, quoted, shown

HOUSE_NAME = r"[a-z0-9_-]{1,32}"


class Word(msgspec.Struct, frozen=True):
    """One of a few words."""

    meaning: str
    choices: tuple[str, ...]

    @property
    def expected(self) -> str:
        """The words."""
        return quoted(self.choices)

    @property
    def allowed(self) -> str:
        """The words."""
        return quoted(self.choices)

    def read(self, value: object) -> str:
        """The word."""
        if not isinstance(value, str) or value not in self.choices:
            raise Unexpected(self.expected, hint=did_you_mean(value, self.choices))
        return value

    def write(self, value: str) -> str:
        """A TOML string."""
        return json.dumps(value)

    def schema(self) -> dict[str, Any]:
        """An enumeration."""
        return {"enum": list(self.choices)}


class Text(msgspec.Struct, frozen=True):
    """Text of one printable line; `pattern` (a regular expression for all of it) may narrow it."""

    meaning: str
    expected: str = "a text of one line"
    pattern: str = r".{1,128}"
    allowed: str = ""

    def read(self, value: object) -> str:
        """The text."""
        if not isinstance(value, str) or not value.isprintable():
            raise Unexpected(self.expected)
        if re.fullmatch(self.pattern, value) is None:
            raise Unexpected(self.expected)
        return value

    def write(self, value: str) -> str:
        """A TOML string."""
        return json.dumps(value, ensure_ascii=False)

    def schema(self) -> dict[str, Any]:
        """A string."""
        return {"type": "string", "pattern": f"^(?:{self.pattern})$"}


class Location(msgspec.Struct, frozen=True):
    """A path: absolute, or in the home of whoever runs timmyd (`~/…`)."""

    meaning: str
    expected: str = 'an absolute path, or one that begins with "~/"'
    allowed: str = ""

    def read(self, value: object) -> Path:
        """The path with `~` replaced, not looked at."""
        if not isinstance(value, str) or not value.isprintable():
            raise Unexpected(self.expected)
        try:
            path = (
                Path(value).expanduser() if value == "~" or value.startswith("~/") else Path(value)
            )
        except RuntimeError:
            expected = "an absolute path, as there is no home directory here"
            raise Unexpected(expected) from None
        if not path.is_absolute():
            raise Unexpected(self.expected)
        return path

    def write(self, value: Path) -> str:
        """A TOML string."""
        return json.dumps(str(value), ensure_ascii=False)

    def schema(self) -> dict[str, Any]:
        """A string that begins with / or ~."""
        return {"type": "string", "pattern": r"^(/|~/|~$)"}


class Words(msgspec.Struct, frozen=True):
    """A list of different words: of `choices`, or of anything that `pattern` describes."""

    meaning: str
    expected: str
    choices: tuple[str, ...] = ()
    pattern: str = r".{1,128}"
    least: int = 0
    single: bool = False

    @property
    def allowed(self) -> str:
        """The words, where only some may be in it."""
        return (
            "any of " + ", ".join(json.dumps(word) for word in self.choices) if self.choices else ""
        )

    def read(self, value: object) -> tuple[str, ...]:
        """The words in their order; with `single`, one word may stand without a list."""
        if self.single and isinstance(value, str):
            value = [value]
        if not isinstance(value, list) or len(value) < self.least:
            raise Unexpected(self.expected)
        for number, word in enumerate(value):
            hint = did_you_mean(word, self.choices)
            if not self._is_one(word):
                raise Unexpected(self.expected, found=f"{shown(word)} in it", hint=hint)
            if word in value[:number]:
                raise Unexpected(self.expected, found=f"{shown(word)} twice")
        return tuple(value)

    def _is_one(self, word: object) -> bool:
        return (
            isinstance(word, str)
            and word.isprintable()
            and (not self.choices or word in self.choices)
            and re.fullmatch(self.pattern, word) is not None
        )

    def write(self, value: Sequence[str]) -> str:
        """A TOML array."""
        return "[" + ", ".join(json.dumps(word, ensure_ascii=False) for word in value) + "]"

    def schema(self) -> dict[str, Any]:
        """An array of different strings."""
        items: dict[str, Any] = {"type": "string", "pattern": f"^(?:{self.pattern})$"}
        if self.choices:
            items = {"enum": list(self.choices)}
        many = {"type": "array", "items": items, "uniqueItems": True, "minItems": self.least}
        return {"anyOf": [items, many]} if self.single else many


class Groups(msgspec.Struct, frozen=True):
    """A list of lists of different words, each with at least two."""

    meaning: str
    expected: str

    @property
    def _words(self) -> Words:
        return Words(self.meaning, self.expected, pattern=r"[^\s].{0,63}", least=2)

    @property
    def allowed(self) -> str:
        """Nothing that could be listed."""
        return ""

    def read(self, value: object) -> tuple[tuple[str, ...], ...]:
        """The groups in their order."""
        if not isinstance(value, list):
            raise Unexpected(self.expected)
        return tuple(self._words.read(group) for group in value)

    def write(self, value: Sequence[Sequence[str]]) -> str:
        """A TOML array of arrays."""
        return "[" + ", ".join(self._words.write(group) for group in value) + "]"

    def schema(self) -> dict[str, Any]:
        """An array of arrays of different strings."""
        return {"type": "array", "items": self._words.schema()}
