"""What a call was about, without what it said: its signature, and a short shape such as `git push` or `.py`.

The shape is put together from fixed vocabularies, so that it cannot hold a secret: a program, a subcommand or a
suffix that is not in `programs` is not shown. Only the names of arguments come from the call, and only those
that look like words.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Final

from .command import command_shape, suffix_of
from .programs import ACTIONS

LONGEST_SHAPE: Final = 64
NO_ARGUMENTS: Final = "-"
MALFORMED: Final = "malformed"

_SIGNATURE_DIGITS: Final = 16
_MOST_NAMES: Final = 6
_LONGEST_NAME: Final = 24

_encode: Final[Callable[[object], str]] = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
).encode
_encode_any: Final[Callable[[object], str]] = json.JSONEncoder(
    sort_keys=True,
    separators=(",", ":"),
    ensure_ascii=False,
    default=lambda value: type(value).__name__,
).encode

_COMMAND_TOOLS: Final = frozenset({"terminal"})
_PATH_TOOLS: Final = frozenset({"read_file", "write_file", "patch"})
_ACTION_TOOLS: Final = frozenset({"process", "memory", "cronjob", "skill_manage"})
_NAME: Final = re.compile(r"[a-z]+(?:_[a-z]+|[A-Z][a-z]{2,})*\Z")
_NO_VOWEL: Final = re.compile(r"[^aeiouyAEIOUY_]{6}")


def signature(args: object) -> str:
    """Name the arguments of a call, so that equal calls are known without keeping what they said.

    Args:
        args: The arguments as Hermes' hooks give them (a mapping), or as the transcript holds them (JSON text).

    Returns:
        The first 16 hex digits of SHA-256 over the canonical JSON of the object; over the raw bytes of a text that
        is no JSON object. The same for a mapping and for any JSON text of it, whatever the order of its members.
    """
    return _digest(args, _parse(args) if isinstance(args, str) else args)


def shape(tool: str, args: object) -> str:
    """Say what a call was about in at most 64 characters of `[A-Za-z0-9 ._:/+-]`, none of them a value.

    Args:
        tool: The name of the tool.
        args: Its arguments, a mapping or JSON text.

    Returns:
        Program and subcommand of a command line, the suffix of a path, an action, or the sorted names of the
        arguments; `-` where there is none of these, `malformed` where the arguments are no JSON object.
    """
    return _shape_of(tool, _parse(args) if isinstance(args, str) else args)


def describe(tool: str, arguments: str) -> tuple[str, str]:
    """Signature and shape of a call from its arguments as text, with one parse."""
    parsed = _parse(arguments)
    return _digest(arguments, parsed), _shape_of(tool, parsed)


def _parse(text: str) -> object:
    """The object that a text holds; None where it holds none."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _digest(raw: object, value: object) -> str:
    """Hash the canonical form of `value`, or `raw` where it has none."""
    data: bytes | None = None
    if isinstance(value, (dict, Mapping)):  # the first spares most calls the slow second
        try:
            data = _encode(value if type(value) is dict else dict(value)).encode(
                "utf-8", "surrogatepass"
            )
        except (ValueError, TypeError, RecursionError):
            data = None
    if data is None:
        data = _raw_bytes(raw)
    return hashlib.sha256(data).hexdigest()[:_SIGNATURE_DIGITS]


def _raw_bytes(raw: object) -> bytes:
    if isinstance(raw, bytes):
        return raw
    if isinstance(raw, str):
        return raw.encode("utf-8", "surrogatepass")
    try:
        return _encode_any(raw).encode("utf-8", "surrogatepass")
    except (ValueError, TypeError, RecursionError):
        return type(raw).__name__.encode()


def _shape_of(tool: str, args: object) -> str:
    if not isinstance(args, (dict, Mapping)):
        return MALFORMED
    if tool in _COMMAND_TOOLS and isinstance(command := args.get("command"), str):
        return command_shape(command)
    if tool in _PATH_TOOLS and isinstance(path := args.get("path"), str):
        return suffix_of(path) or "file"
    if (
        tool in _ACTION_TOOLS
        and isinstance(action := args.get("action"), str)
        and action in ACTIONS
    ):
        return action
    return _names_shape(args)


def _names_shape(args: Mapping[object, object]) -> str:
    names = sorted({name for name in args if isinstance(name, str) and _is_name(name)})
    text = " ".join(names[:_MOST_NAMES])
    if len(text) > LONGEST_SHAPE:
        text = text[: LONGEST_SHAPE + 1].rpartition(" ")[0]
    return text or NO_ARGUMENTS


def _is_name(name: str) -> bool:
    """Whether a key looks like words, not like a token: letters in words, with vowels."""
    return (
        len(name) <= _LONGEST_NAME and _NAME.match(name) is not None and not _NO_VOWEL.search(name)
    )
