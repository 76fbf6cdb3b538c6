"""`demo`: made-up sessions through the real pipeline, shown as it happens."""

import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.text import Text

from timmyd.cli.options import JsonOption
from timmyd.cli.output import FAILED, UsageError, console, is_terminal, print_json, say
from timmyd.service.logs import printable
from timmyd.tools.demo import Demo, DemoStep

_COLOURS = {
    "breaker_opened": "red",
    "breaker_closed": "green",
    "trial_started": "magenta",
    "kept": "green",
    "taken_back": "yellow",
}
PAGE = "report.html"
_TITLES = {"learned": "learned", "trial_started": "on trial", "taken_back": "taken back"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


def demo(
    *,
    keep: Annotated[
        Path | None,
        typer.Option(
            "--keep",
            metavar="DIR",
            help="Leave all files in this new directory, with a page to open.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Two made-up houses, a day or two in seconds: learning, a breaker, a change kept, another taken back.

    All files are in a temporary directory that is gone afterwards, unless they are kept.
    """
    steps = []
    with _folder(keep) as folder, closing(Demo(folder)) as one:
        for step in one.run():
            steps.append(step)
            if not as_json:
                _print(step)
        if keep is not None:
            from timmyd.report.collect import collect  # noqa: PLC0415 - only here
            from timmyd.report.page import render  # noqa: PLC0415

            page = render(collect(one.engine, days=None))
            (folder / PAGE).write_text(page, encoding="utf-8")
    if as_json:
        print_json([msgspec.structs.asdict(step) for step in steps])
    elif keep is not None:
        say(f"kept in {printable(keep)}: open {printable(keep / PAGE)}, or look by")
        say(f"  timmyd report --all --state {printable(keep / 'state')}")
    if not steps[-1].figures["complete"]:
        raise typer.Exit(FAILED)


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """Where the demo works: a directory that must be new or empty, or a temporary one."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="timmyd-demo-") as folder:
            yield Path(folder)
        return
    if keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise UsageError(f"{keep} is there already; --keep wants a new or an empty directory")
    keep.mkdir(parents=True, exist_ok=True)
    yield keep.absolute()


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
