"""Makes `timmyd run` known to the other commands; its options are `timmyd.cli.run`'s."""

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "run",
        context_settings={
            "allow_extra_args": True,
            "ignore_unknown_options": True,
            "help_option_names": [],
        },
    )(run)


def run(context: typer.Context) -> None:
    """Watch Hermes sessions, learn from them, publish the policy: the daemon."""
    from timmyd.cli.run import main  # noqa: PLC0415 - only for this command

    raise typer.Exit(main(context.args))
