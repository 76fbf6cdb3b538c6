"""The settings of who is told what: `[[notify]]`."""

import json
import re
from collections.abc import Sequence
from datetime import time
from pathlib import Path
from typing import Annotated, Any

import msgspec

from timmyd.config.kinds import Unexpected
from timmyd.config.texts import Location, Text, Word, Words
from timmyd.core.alerts import KINDS, SEVERITIES

_QUIET = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")
_URL = r"https?://[!-~]{1,2000}"
_ADDRESS = r"[a-z][a-z0-9+.-]{0,30}://[!-~]{1,2000}"
_TEMPLATE = r".{1,20000}"


class Command(msgspec.Struct, frozen=True):
    """A program with its arguments, as a list."""

    meaning: str
    expected: str = "a list: the absolute path of a program, then its arguments"
    allowed: str = ""

    def read(self, value: object) -> tuple[str, ...]:
        """The words; the first is an absolute path."""
        words = value if isinstance(value, list) else []
        if not words or not all(isinstance(word, str) and word.isprintable() for word in words):
            raise Unexpected(self.expected)
        if not words[0].startswith("/"):
            raise Unexpected(self.expected, hint="no shell and no search path stands between")
        return tuple(words)

    def write(self, value: Sequence[str]) -> str:
        """A TOML array."""
        return "[" + ", ".join(json.dumps(word, ensure_ascii=False) for word in value) + "]"

    def schema(self) -> dict[str, Any]:
        """An array of strings."""
        return {"type": "array", "items": {"type": "string"}, "minItems": 1}


class QuietHours(msgspec.Struct, frozen=True):
    """From and to, as `22:00-07:00`."""

    meaning: str
    expected: str = 'two times of the day, such as "22:00-07:00"'
    allowed: str = ""

    def read(self, value: object) -> tuple[time, time]:
        """Begin and end; the end may lie on the next day."""
        found = _QUIET.fullmatch(value) if isinstance(value, str) else None
        if found is None or found[1] + found[2] == found[3] + found[4]:
            raise Unexpected(self.expected)
        first, second, third, fourth = (int(part) for part in found.groups())
        return time(first, second), time(third, fourth)

    def write(self, value: tuple[time, time]) -> str:
        """A TOML string."""
        return json.dumps("-".join(moment.strftime("%H:%M") for moment in value))

    def schema(self) -> dict[str, Any]:
        """A string."""
        return {"type": "string", "pattern": f"^{_QUIET.pattern}$"}


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """Tell somebody what happened: by a program, a web address, or Apprise. `timmyd-notify.service` sends it."""

    on: Annotated[
        tuple[str, ...],
        Words("what to tell", "a list of events (" + ", ".join(KINDS) + ")", tuple(KINDS), least=1),
    ]
    house: Annotated[
        str | None,
        Text(
            "only what is about this house",
            "a house name: 1 to 32 of a-z 0-9 _ -",
            r"[a-z0-9_-]{1,32}",
        ),
    ] = None
    least: Annotated[
        str, Word("the least that is told; ends of trouble always are", SEVERITIES)
    ] = "warning"
    quiet: Annotated[
        tuple[time, time] | None,
        QuietHours("local times between which all but critical events wait"),
    ] = None
    exec: Annotated[
        tuple[str, ...] | None, Command("a program that gets the event as JSON on standard input")
    ] = None
    webhook: Annotated[
        str | None,
        Text("an address that gets the event as JSON by POST", "an http(s) address", _URL),
    ] = None
    apprise: Annotated[
        str | None,
        Text(
            "an address of Apprise (pip install 'timmyd[notify]')",
            "an address of Apprise",
            _ADDRESS,
        ),
    ] = None
    body: Annotated[
        str | None,
        Text("a JSON body for the webhook, with {title}, {text}, {house} …", "a text", _TEMPLATE),
    ] = None
    headers: Annotated[
        Path | None,
        Location('a file of mode 0600 with lines "Name: value" for the webhook, for tokens'),
    ] = None
    over: Annotated[
        str | None,
        Text(
            "where the end of a trouble goes (PATCH); {answer.number} is from the answer at its beginning",
            "an http(s) address",
            _URL,
        ),
    ] = None
    over_body: Annotated[str | None, Text("the body for it", "a text", _TEMPLATE)] = None
