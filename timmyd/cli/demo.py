"""`demo`: made-up sessions through the real pipeline, shown as it happens."""

import tempfile
from contextlib import closing
from pathlib import Path

import msgspec
import typer
from rich.text import Text

from timmyd.cli.options import JsonOption
from timmyd.cli.output import FAILED, console, is_terminal, print_json, say
from timmyd.service.logs import printable
from timmyd.tools.demo import Demo, DemoStep

_COLOURS = {
    "breaker_opened": "red",
    "breaker_closed": "green",
    "trial_started": "magenta",
    "kept": "green",
    "taken_back": "yellow",
}
_TITLES = {"learned": "learned", "trial_started": "on trial", "taken_back": "taken back"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


def demo(*, as_json: JsonOption = False) -> None:
    """Two made-up houses, a day or two in seconds: learning, a breaker, a change kept, another taken back.

    All files are in a temporary directory that is gone afterwards.
    """
    steps = []
    with (
        tempfile.TemporaryDirectory(prefix="timmyd-demo-") as folder,
        closing(Demo(Path(folder))) as one,
    ):
        for step in one.run():
            steps.append(step)
            if not as_json:
                _print(step)
    if as_json:
        print_json([msgspec.structs.asdict(step) for step in steps])
    if not steps[-1].figures["complete"]:
        raise typer.Exit(FAILED)


def _print(step: DemoStep) -> None:
    title = _TITLES.get(step.kind, step.kind.replace("_", " "))
    line = Text.assemble(
        (f"{step.at[5:10]} {step.at[11:16]}  ", "dim"),
        (f"{title:<15}", _COLOURS.get(step.kind, "bold")),
        printable(step.words),
    )
    if is_terminal():
        console().print(line)
    else:
        say(line.plain)
