"""How commands print: harmless to a terminal whatever a session is called, and plain off one."""

import codecs
import io
import json
import os
import sys
import textwrap
from typing import TYPE_CHECKING, Any

from timmyd.errors import TimmyError

if TYPE_CHECKING:
    from rich.console import Console

FAILED = 1
WRONG_USAGE = 2
WRONG_SETTINGS = 78

_WIDTH = 80
_NARROWEST = 20
_PLAIN = {ord(sign): plain for sign, plain in zip("\u2013\u2014…·●━•→←", "--~.o=*><", strict=True)}
"""What stands for our own signs where the terminal has only ASCII."""

_ERRORS = "timmyd.plain"


class UsageError(TimmyError):
    """The words after the command cannot be right; exit status 2."""


def is_terminal() -> bool:
    """Whether people look at what is printed."""
    return sys.stdout.isatty()


def agreed() -> bool:
    """Ask; where nobody can answer, `--yes` is needed.

    Raises:
        UsageError: Nobody can answer.
    """
    if not (sys.stdin.isatty() and is_terminal()):
        raise UsageError("nobody is there to ask\n  hint: say --yes")
    import typer  # noqa: PLC0415 - `run` need not wait for it

    return bool(typer.confirm("Go on?", default=True))


def console() -> "Console":
    """Where reports go; without a terminal no colour, and 80 columns or what `COLUMNS` says."""
    from rich.console import Console  # noqa: PLC0415 - `run` need not wait for it

    if is_terminal():
        return Console(highlight=False)
    width = _columns() or _WIDTH
    return Console(highlight=False, width=width, force_terminal=False, color_system=None)


def _columns() -> int | None:
    """What `COLUMNS` says; None where it says nothing that could be meant."""
    said = os.environ.get("COLUMNS", "")
    return max(_NARROWEST, int(said)) if said.isdecimal() and len(said) < len("10000") else None


def say_folded(text: str) -> None:
    """Print a line, between words in several where it is too long for the terminal or for `COLUMNS`."""
    width = _columns() or (console().width if is_terminal() else None)
    if width is not None and len(text) > width:
        text = textwrap.fill(
            text, width, subsequent_indent="   ", break_long_words=False, break_on_hyphens=False
        )
    say(text)


def print_with_what_there_is() -> None:
    """Let no sign that the terminal does not have be an error: ours have a plain form, others a number."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors=_ERRORS)


def _plain(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end].translate(_PLAIN)
    return letters.encode("ascii", "backslashreplace").decode("ascii"), error.end


def print_json(value: Any) -> None:
    """Print a value as JSON; ASCII only, so that no name from a session can act on a terminal."""
    import msgspec  # noqa: PLC0415 - the first to import it decides what it costs: see `app`

    plain = msgspec.to_builtins(value, enc_hook=str)
    sys.stdout.write(json.dumps(plain, indent=2, ensure_ascii=True, allow_nan=False) + "\n")


def say(text: str) -> None:
    """Print lines. Names of a session go through `printable` first, so that they hold no line end."""
    sys.stdout.write(harmless(text) + "\n")


def complain(text: str) -> None:
    """Print what went wrong."""
    sys.stderr.write(f"timmyd: {harmless(text)}\n")


def harmless(text: str) -> str:
    r"""Text in which nothing but line ends can move a cursor, in letters that the terminal has.

    Control characters, marks that turn the direction of writing, and what the encoding cannot
    say are written as `\xNN`, `\uNNNN` or `\UNNNNNNNN`.
    """
    if not text.isprintable():
        text = "".join(c if c == "\n" or c.isprintable() else ascii(c)[1:-1] for c in text)
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, _ERRORS).decode(encoding)


codecs.register_error(_ERRORS, _plain)
