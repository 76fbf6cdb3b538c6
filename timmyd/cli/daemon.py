"""`timmyd run` as the other commands know it: its help, its completion, and what is wrong with its words."""

from pathlib import Path
from typing import Annotated

import typer

from timmyd.cli.options import ConfigOption, StateOption
from timmyd.cli.run_words import RunWords


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(run)


def run(
    *,
    home: Annotated[
        list[str] | None,
        typer.Option(
            "--home",
            metavar="DIR[=HOUSE]",
            help="A Hermes home; may be given again. By default those of the settings, else ~/.hermes.",
        ),
    ] = None,
    sessions: Annotated[
        list[str] | None,
        typer.Option(
            "--sessions",
            metavar="DIR[=HOUSE]",
            help="A directory of session files; may be given again.",
        ),
    ] = None,
    policy: Annotated[
        Path | None, typer.Option("--policy", help="Where to publish the policy.")
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="Take in all that is there, adapt, publish, and end.")
    ] = False,
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="With --once: print the summary as JSON.")
    ] = False,
) -> None:
    """Watch Hermes sessions, learn from them, publish the policy: the daemon.

    Ends on SIGTERM; SIGHUP reads the settings again.
    """
    from timmyd.cli.run import main  # noqa: PLC0415 - only for this command

    asked = RunWords(home or (), sessions or (), policy, once, config, state, as_json)
    raise typer.Exit(main(asked))
