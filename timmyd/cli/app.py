"""Puts the commands together, and turns errors into words and an exit status."""

import gc
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Final

from timmyd.cli.output import FAILED, WRONG_SETTINGS, WRONG_USAGE, UsageError, complain
from timmyd.errors import ConfigError, StoreError, TimmyError
from timmyd.service.imports import hidden

if TYPE_CHECKING:
    import typer

MODULES: Final[Mapping[str, tuple[str, ...]]] = {
    "daemon": ("run",),
    "demo": ("demo",),
    "check": ("check",),
    "look": ("status", "report"),
    "events": ("events",),
    "ask": ("predict", "route", "model", "explain"),
    "operate": ("policy",),
    "breaker": ("breaker",),
    "houses": ("house",),
    "replay": ("replay",),
    "history": ("import",),
    "kit": ("hermes",),
    "host": ("enrol", "unenrol", "enrolled"),
    "upkeep": ("db",),
    "notify": ("notify",),
    "spend": ("budget", "remedy"),
    "about": ("schema", "version"),
}
"""Which module has which commands; only the one that is asked for is imported."""

HELP: Final = "Learns from the tool calls of Hermes agents and publishes the policy that they obey."
_INTERRUPTED: Final = 130


def build(wanted: str | None = None) -> "typer.Typer":
    """The program with the module that has the command `wanted`, or for any other word with all."""
    import typer  # noqa: PLC0415 - `run` need not wait for it

    app = typer.Typer(
        name="timmyd",
        help=HELP,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    # a program with a callback keeps the names of its commands even where it has only one
    app.callback()(_root)
    chosen = [name for name, commands in MODULES.items() if wanted in commands]
    for name in chosen or MODULES:
        import_module(f"timmyd.cli.{name}").register(app)
    return app


def _root() -> None:
    pass


def main() -> None:
    """Run a command; the exit status is 0 done, 1 failed, 2 wrong usage, 78 wrong settings."""
    words = sys.argv[1:]
    if words[:1] == ["run"]:
        sys.exit(guarded(lambda: _run(words[1:]), is_daemon=True))
    sys.exit(guarded(lambda: build(words[0] if words else None)(standalone_mode=True)))


def _run(words: Sequence[str]) -> int:
    """Start the daemon without waiting for typer, and without collecting what imports leave behind."""
    gc.disable()
    with hidden("rich", "typing_extensions"):
        from timmyd.cli.run import main as run  # noqa: PLC0415 - only here
    return run(words)


def guarded(command: Callable[[], int | None], *, is_daemon: bool = False) -> int:
    """Do it, and turn what it raises on purpose into words and an exit status."""
    try:
        return command() or 0
    except ConfigError as error:
        complain(str(error))
        return WRONG_SETTINGS
    except StoreError as error:
        complain(str(error))
        # a service must not restart on a database that only an operator can mend
        return WRONG_SETTINGS if is_daemon and not error.retry else FAILED
    except UsageError as error:
        complain(str(error))
        return WRONG_USAGE
    except TimmyError as error:
        complain(str(error))
        return FAILED
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:
        if error.filename is None:
            raise
        complain(f"{os.fsdecode(error.filename)}: {error.strerror}")
        return FAILED
