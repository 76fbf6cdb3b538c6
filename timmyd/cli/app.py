"""Puts the commands together, and turns errors into words and an exit status."""

import os
import sys

import typer

from timmyd.cli import look, operate, run
from timmyd.cli.common import FAILED, WRONG_SETTINGS, complain
from timmyd.errors import ConfigError, StoreError, TimmyError

app = typer.Typer(
    name="timmyd",
    help="Learns from the tool calls of Hermes agents and publishes the policy that they obey.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for group in (run, look, operate):
    group.register(app)


def main() -> None:
    """Run a command; the exit status is 0 done, 1 failed, 2 wrong usage, 78 wrong settings."""
    try:
        app(standalone_mode=True)
    except ConfigError as error:
        complain(str(error))
        sys.exit(WRONG_SETTINGS)
    except StoreError as error:
        complain(str(error))
        sys.exit(FAILED if error.retry else WRONG_SETTINGS)
    except TimmyError as error:
        complain(str(error))
        sys.exit(FAILED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)
