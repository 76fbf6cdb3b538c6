"""Puts the commands together, and turns errors into words and an exit status."""

import errno
import gc
import os
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Final

from timmyd.cli.output import (
    FAILED,
    WRONG_SETTINGS,
    WRONG_USAGE,
    UsageError,
    complain,
    print_with_what_there_is,
)
from timmyd.cli.run_words import RunWords, quick
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
    "service": ("service",),
    "host": ("enrol", "unenrol", "enrolled"),
    "upkeep": ("db",),
    "notify": ("notify",),
    "spend": ("budget", "remedy"),
    "about": ("schema", "version"),
}
"""Which module has which commands; only the one that is asked for is imported."""

HELP: Final = "Learns from the tool calls of Hermes agents and publishes the policy that they obey."
_INTERRUPTED: Final = 130
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


def build(wanted: str | None = None) -> "typer.Typer":
    """The program with the module that has the command `wanted`, or for any other word with all."""
    import typer  # noqa: PLC0415 - `run` need not wait for it

    from timmyd.cli.root import root  # noqa: PLC0415

    app = typer.Typer(
        name="timmyd",
        help=HELP,
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback(help=HELP)(root)
    chosen = [name for name, commands in MODULES.items() if wanted in commands]
    for name in chosen or MODULES:
        import_module(f"timmyd.cli.{name}").register(app)
    return app


def main() -> None:
    """Run a command; the exit status is 0 done, 1 failed, 2 wrong usage, 78 wrong settings."""
    print_with_what_there_is()
    words = sys.argv[1:]
    is_daemon = words[:1] == ["run"]
    asked = quick(words[1:]) if is_daemon else None
    if asked is not None:
        sys.exit(guarded(lambda: _run(asked), is_daemon=True))
    wanted = words[0] if words else None
    sys.exit(guarded(lambda: build(wanted)(prog_name="timmyd"), is_daemon=is_daemon))


def _run(asked: RunWords) -> int:
    """Start the daemon without waiting for typer, and without collecting what imports leave behind."""
    gc.disable()
    with hidden("rich", "typing_extensions"):
        from timmyd.cli.run import main as run  # noqa: PLC0415 - only here
    return run(asked)


def guarded(command: Callable[[], int | None], *, is_daemon: bool = False) -> int:
    """Do it, and turn what it raises on purpose into words and an exit status."""
    try:
        return _written(command)
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
        _print_no_more()
        return FAILED
    except OSError as error:
        if error.filename is not None:
            complain(f"{os.fsdecode(error.filename)}: {error.strerror}")
        elif error.errno in _NO_ROOM:
            _print_no_more()
            complain(f"cannot write: {error.strerror}")
        else:
            raise
        return FAILED


def _written(command: Callable[[], int | None]) -> int:
    """Do it, and be sure that all it printed has arrived."""
    try:
        status = command() or 0
    except SystemExit:
        sys.stdout.flush()
        raise
    sys.stdout.flush()
    return status


def _print_no_more() -> None:
    """Let what is left in the buffer go nowhere, or the end of the program would try again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
