"""What stands before every command."""

from typing import Annotated

import typer

from timmyd import __version__
from timmyd.cli.output import say


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it so
    if wanted:
        say(f"timmyd {__version__}")
        raise typer.Exit


def root(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Nothing: a program with a callback keeps the names of its commands even where it has only one."""
