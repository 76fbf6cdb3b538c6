"""`timmyd run`: the daemon in the foreground, or once over all that is there."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from timmyd.cli.common import (
    ConfigOption,
    Context,
    JsonOption,
    StateOption,
    context,
    places,
    print_json,
    say,
)
from timmyd.config import Settings
from timmyd.engine import IntelligenceEngine
from timmyd.service.inbox import Place
from timmyd.service.lock import StateLock
from timmyd.service.logs import configure
from timmyd.service.loop import Daemon, Summary
from timmyd.service.systemd import Notifier
from timmyd.store.database import PatternDatabase

_MIGRATION_S = 60.0


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("run")(run)


def run(
    home: Annotated[
        list[str] | None,
        typer.Option("--home", help="A Hermes home, as DIR or DIR=HOUSE; may be given again."),
    ] = None,
    sessions: Annotated[
        list[str] | None,
        typer.Option(
            "--sessions",
            help="A directory of session files, as DIR or DIR=HOUSE; may be given again.",
        ),
    ] = None,
    policy: Annotated[
        Path | None, typer.Option("--policy", help="Where to publish the policy.")
    ] = None,
    *,
    once: Annotated[
        bool, typer.Option("--once", help="Take in all that is there, adapt, publish, and end.")
    ] = False,
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Watch Hermes sessions, learn from them, publish the policy. Ends on SIGTERM; SIGHUP reloads."""
    found = context(config, state)
    notifier = Notifier()
    log = configure(found.settings.log.level, found.settings.log.format)

    def reload() -> tuple[Settings, list[Place]]:
        again = context(config, state)
        return again.settings, places(again.settings, home or (), sessions or ())

    with StateLock(found.state):
        database = _open(found, notifier)
        try:
            engine = IntelligenceEngine(database, settings=found.settings)
            daemon = Daemon(
                found.settings,
                places(found.settings, home or (), sessions or ()),
                state=found.state,
                engine=engine,
                log=log,
                notifier=notifier,
                reload=reload,
                policy=None if policy is None else policy.absolute(),
            )
            if once:
                _show(daemon.once(), daemon.publisher.target, as_json=as_json)
            else:
                daemon.run()
        finally:
            database.close()


def _open(found: Context, notifier: Notifier) -> PatternDatabase:
    def migrating(version: int) -> None:
        notifier.extend_timeout(_MIGRATION_S)
        notifier.status(f"bringing the database to schema version {version}")

    return PatternDatabase(found.database, progress=migrating)


def _show(summary: Summary, policy: Path, *, as_json: bool) -> None:
    if as_json:
        print_json(msgspec.structs.asdict(summary) | {"policy": str(policy)})
        return
    say(
        f"{summary.files} files read, {summary.executions} executions counted,"
        f" {summary.failed} files failed, {summary.ignored} ignored"
    )
    say(f"{summary.adaptations} adaptations; policy revision {summary.revision} in {policy}")
