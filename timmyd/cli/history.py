"""`import`: history out of session folders, `state.db` files and exports, under a progress bar."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from timmyd.cli.options import ConfigOption, JsonOption, StateOption
from timmyd.cli.output import FAILED, UsageError, is_terminal, print_json, say
from timmyd.cli.where import context
from timmyd.engine.ingest import Ingest
from timmyd.service.homes import Place
from timmyd.service.lock import holder
from timmyd.service.logs import printable
from timmyd.service.privilege import as_owner
from timmyd.service.reckoning import Reckoning
from timmyd.store.database import PatternDatabase
from timmyd.tools.import_wanted import ImportProgress, ImportReport, split_house
from timmyd.tools.importing import import_paths

_SHOWN = 20


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("import")(take_in)


def take_in(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH[=HOUSE]...",
            help="A Hermes home, a session folder, a state.db, or a file of sessions: exported, listed,"
            " wrapped, or an old transcript.",
        ),
    ],
    *,
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take in history. Can be stopped and run again; works beside a running daemon."""
    found = context(config, state, stay_root=True)
    with as_owner(found.state):
        database = PatternDatabase(found.database)
    try:
        with _bar() as progress:
            places = [Place(path) for path, _ in map(split_house, paths)]
            reckoning = Reckoning.begin(database, places)
            report = import_paths(
                database, Ingest.of(found.settings), paths,
                progress=progress, clock=reckoning, trust=reckoning.held,
            )  # fmt: skip
    except ValueError as error:
        raise UsageError(str(error)) from None
    finally:
        with as_owner(found.state):
            database.close()
    if as_json:
        print_json(_as_dict(report))
    else:
        _print(report, daemon=holder(found.state) is not None)
    named = {Path(path).absolute() for path, _ in map(split_house, paths)}
    if any(one.path.absolute() in named for one in report.unread):
        raise typer.Exit(FAILED)
    if report.unread and not (report.files or report.executions):
        raise typer.Exit(FAILED)


@contextmanager
def _bar() -> Iterator[Callable[[ImportProgress], None]]:
    """Rate and time left; nothing where nobody looks."""
    if not is_terminal():
        yield lambda _progress: None
        return
    from rich import progress as rich  # noqa: PLC0415 - only on a terminal
    from rich.markup import escape  # noqa: PLC0415

    with rich.Progress(
        rich.TextColumn("{task.description}"),
        rich.BarColumn(),
        rich.TaskProgressColumn(),
        rich.TextColumn("{task.fields[rate]}"),
        rich.TextColumn("{task.fields[left]}"),
        transient=True,
    ) as bar:
        task = bar.add_task("looking", total=None, rate="", left="")

        def show(at: ImportProgress) -> None:
            left = "" if at.left_s is None else f"{at.left_s:.0f} s left"
            bar.update(
                task,
                description=escape(printable(at.path.name, 30)),
                total=max(1, at.total_bytes),
                completed=at.done_bytes,
                rate=f"{at.executions:,} executions, {at.rate:,.0f}/s",
                left=left,
            )

        yield show


def _as_dict(report: ImportReport) -> dict[str, Any]:
    return {
        "executions": report.executions,
        "duplicates": report.duplicates,
        "amended": report.amended,
        "too_old": report.too_old,
        "files": report.files,
        "ignored": report.ignored,
        "by_source": report.by_source,
        "unread": [
            {"path": str(one.path), "reason": one.code, "detail": one.words}
            for one in report.unread
        ],
    }


def _print(report: ImportReport, *, daemon: bool) -> None:
    say(
        f"{report.files} files read: {report.executions} executions taken,"
        f" {report.duplicates} known already, {report.amended} known better now"
    )
    if report.too_old:
        say(f"{report.too_old} older than is kept: raise [retention] executions to take them")
    if report.ignored:
        say(f"{report.ignored} files are none of ours and were ignored")
    for one in report.unread[:_SHOWN]:
        say(f"not read: {printable(one.path)}: {one.code}: {printable(one.words)}")
    if len(report.unread) > _SHOWN:
        say(f"not read: {len(report.unread) - _SHOWN} more; --json lists all")
    if not daemon:
        say("the daemon learns from it when it runs: timmyd run --once")
