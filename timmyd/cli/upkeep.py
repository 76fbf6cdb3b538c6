"""`db check | backup | restore`: the database itself."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from timmyd.cli.options import ConfigOption, JsonOption, StateOption
from timmyd.cli.output import FAILED, is_terminal, print_json, say
from timmyd.cli.where import context
from timmyd.clock import now
from timmyd.service.lock import StateLock
from timmyd.service.privilege import as_root
from timmyd.store import backup as copies


def register(app: typer.Typer) -> None:
    """Add the commands."""
    db = typer.Typer(help="The database: check, backup, restore.", no_args_is_help=True)
    db.command()(check)
    db.command()(backup)
    db.command()(restore)
    app.add_typer(db, name="db")


def check(
    *, config: ConfigOption = None, state: StateOption = None, as_json: JsonOption = False
) -> None:
    """Let SQLite look at every page of the database; also while the daemon runs."""
    found = context(config, state)
    version, problems = copies.check(found.database)
    size = found.database.stat().st_size
    if as_json:
        print_json(
            {
                "database": str(found.database),
                "schema": version,
                "size_bytes": size,
                "problems": problems,
            }
        )
    elif problems:
        say(f"{found.database} is damaged:")
        for problem in problems:
            say(f"  {problem}")
        say("  hint: stop the daemon, then: timmyd db restore FILE")
    else:
        say(f"{found.database} is whole: schema version {version}, {size:,} bytes")
    if problems:
        raise typer.Exit(FAILED)


def backup(
    file: Annotated[Path, typer.Argument(help="Where to; a file there is replaced.")],
    *,
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy the database as it is now; also while the daemon runs."""
    found = context(config, state)
    with _bar("copying") as progress:
        size = copies.backup(found.database, file.absolute(), elsewhere=as_root, progress=progress)
    if as_json:
        print_json({"database": str(found.database), "backup": str(file), "size_bytes": size})
    else:
        say(f"{found.database} is copied to {file}: {size:,} bytes")


def restore(
    file: Annotated[Path, typer.Argument(help="A backup.")],
    *,
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Go back to a backup. The daemon must not run; the present database stays beside it."""
    found = context(config, state)
    with as_root():
        version = copies.check_backup(file)
    with StateLock(found.state), _bar("restoring") as progress:
        suffix = f".before-{datetime.fromtimestamp(now(), UTC):%Y%m%d-%H%M%S}"
        kept = copies.restore(
            file, found.database, suffix=suffix, elsewhere=as_root, progress=progress
        )
    if as_json:
        print_json(
            {
                "database": str(found.database),
                "schema": version,
                "kept": None if kept is None else str(kept),
            }
        )
        return
    say(f"{found.database} is now what {file} was")
    if kept is not None:
        say(f"the one before is kept as {kept}")


@contextmanager
def _bar(words: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar over pages; none where nobody looks."""
    if not is_terminal():
        yield lambda _done, _all: None
        return
    from rich.progress import Progress  # noqa: PLC0415 - only on a terminal

    with Progress(transient=True) as bar:
        task = bar.add_task(words, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
