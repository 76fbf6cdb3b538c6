"""PURE: what makes two calls, or two answers, the same but for white space, digits and words with a digit in them."""

import hashlib
import re
from typing import Final

from .shape import signature

_MOST_ANSWER: Final = 16_384
_MOST_FOLDED: Final = 65_536
_DEEPEST: Final = 64
_VARIES: Final = re.compile(r"[\s\d]+")
_IDS: Final = re.compile(r"\b(?:[0-9a-fA-F]{4,}(?:-[0-9a-fA-F]{4,})+|[^\W\d]*\d\w*)")
"""Words that hold a digit, and UUIDs: a moment, the id of a request, an address in memory."""


class RepeatKey:
    """What makes two calls the same: exactly, and but for white space and digits in their arguments.

    Args:
        tool: The tool of the call.
        args: Its arguments, a mapping or JSON text.

    Attributes:
        signature: Of the arguments.
        exact: Equal for equal calls of a tool.
    """

    __slots__ = ("_args", "_folded", "exact", "signature", "tool")

    def __init__(self, tool: str, args: object) -> None:
        self.tool = tool
        self.signature = signature(args)
        self.exact = f"{tool} {self.signature}"
        self._args = args
        self._folded = ""

    @property
    def folded(self) -> str:
        """Equal for calls that differ only in white space and digits; worked out only where something failed."""
        if not self._folded:
            self._folded = f"{self.tool} ~{signature(folded(self._args))}"
            self._args = None
        return self._folded


def folded(value: object, depth: int = 0) -> object:
    """Arguments with white space and runs of digits made one, as deep as arguments may sanely be."""
    if isinstance(value, str):
        if len(value) > 2 * _MOST_FOLDED:  # what a file holds: its middle as it is, which is fast
            middle = digest(value[_MOST_FOLDED:-_MOST_FOLDED])
            return [folded(value[:_MOST_FOLDED]), middle, folded(value[-_MOST_FOLDED:])]
        return _VARIES.sub("#", value.strip())
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, (int, float)):
        return "#"
    if depth < _DEEPEST and isinstance(value, dict):
        return {str(name): folded(item, depth + 1) for name, item in value.items()}
    if depth < _DEEPEST and isinstance(value, (list, tuple)):
        return [folded(item, depth + 1) for item in value]
    return type(value).__name__


def brief(answer: object) -> str:
    """What an answer says: both its ends, where it is long."""
    text = answer if isinstance(answer, str) else _said(answer)
    if len(text) > 2 * _MOST_ANSWER:
        text = f"{len(text)} {text[:_MOST_ANSWER]} {text[-_MOST_ANSWER:]}"
    return text


def _said(answer: object) -> str:
    """What an answer that is no text says: whatever a tool may return, its name at least."""
    try:
        return repr(answer)
    except Exception:  # noqa: BLE001 - code of the tool's, or deeper than Python goes
        return type(answer).__name__


def digest(text: str) -> str:
    """Equal for equal texts."""
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=12).hexdigest()


def folded_digest(text: str) -> str:
    """Equal for texts that differ only in white space, digits and words with a digit in them."""
    return digest(_VARIES.sub("#", _IDS.sub("#", text)))
