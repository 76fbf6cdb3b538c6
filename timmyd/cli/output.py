"""How commands print: harmless to a terminal whatever a session is called, and plain off one."""

import json
import sys
from typing import TYPE_CHECKING, Any

from timmyd.errors import TimmyError

if TYPE_CHECKING:
    from rich.console import Console

FAILED = 1
WRONG_USAGE = 2
WRONG_SETTINGS = 78

_WIDTH = 80


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
    """Where reports go; without a terminal 80 columns and no colour, whatever the environment says."""
    from rich.console import Console  # noqa: PLC0415 - `run` need not wait for it

    if is_terminal():
        return Console(highlight=False)
    return Console(highlight=False, width=_WIDTH, force_terminal=False, color_system=None)


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
    return text.encode(encoding, "backslashreplace").decode(encoding)
