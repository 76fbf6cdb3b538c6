"""`check`: what is wrong or could be better, and what to do about it."""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated

import typer

from timmyd.cli.options import ConfigOption, JsonOption, StateOption
from timmyd.cli.output import FAILED, WRONG_SETTINGS, print_json, say
from timmyd.cli.where import Context, context, must_be_there, places
from timmyd.clock import now as wall_clock
from timmyd.core.ownership import OwnedHouse
from timmyd.errors import ConfigError, StoreError
from timmyd.service.homes import Place
from timmyd.service.logs import printable
from timmyd.service.privilege import as_owner
from timmyd.store.database import PatternDatabase
from timmyd.tools.checking import (
    Finding,
    check_daemon,
    check_houses,
    check_inotify,
    check_policy,
    check_settings,
    check_state,
    wrong,
)
from timmyd.tools.checking_homes import check_homes, watched_folders

_SIGNS = {"fine": "ok  ", "note": "note", "wrong": "FAIL"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(check)


def check(
    *,
    home: Annotated[
        list[str] | None,
        typer.Option(
            "--home",
            metavar="DIR[=HOUSE]",
            help="Look at this Hermes home, not at those of the settings; may be given again.",
        ),
    ] = None,
    settings: Annotated[
        bool,
        typer.Option(
            "--settings", help="Look at the settings alone, as a reload of the service does."
        ),
    ] = False,
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Settings, state, policy, Hermes homes and their sources; status 1 if something is wrong, 78 for settings."""
    try:
        found = context(config, state, stay_root=True)
    except ConfigError as error:
        findings = [
            wrong("settings_wrong", one.place, one.message, one.hint or "correct the settings")
            for one in error.problems
        ]
        _print(findings, as_json=as_json)
        raise typer.Exit(WRONG_SETTINGS) from None
    if settings:
        _print(check_settings(found.paths), as_json=as_json)
        return
    where = places(found.settings, home or ())
    if home:
        must_be_there(where)
    findings = list(_look(found, where))
    _print(findings, as_json=as_json)
    if any(finding.severity == "wrong" for finding in findings):
        raise typer.Exit(FAILED)


def _look(found: Context, where: Sequence[Place]) -> Iterator[Finding]:
    now = wall_clock()
    yield from check_settings(found.paths)
    with as_owner(found.state):
        said, houses = _database(found)
        of_state = [
            *check_state(found.settings, found.state, now=now),
            *check_policy(found.settings, found.state, now=now),
            *check_daemon(found.state, said, now=now),
            *check_houses(houses),
        ]
    yield from of_state
    yield from check_inotify(watched_folders(where), uid=os.geteuid())
    yield from check_homes(where, now=now, largest_bytes=found.settings.files.largest_bytes)


def _database(found: Context) -> tuple[dict[str, object], list[OwnedHouse]]:
    """What the daemon said of itself, and the houses; nothing where the database cannot tell."""
    try:
        database = PatternDatabase(found.database, read_only=True)
    except StoreError:
        return {}, []
    try:
        known = json.loads(database.state("status") or b"{}")
        houses = list(database.owners.all().values())
        return known if isinstance(known, dict) else {}, houses
    except StoreError:
        return {}, []
    finally:
        database.close()


def _print(findings: Iterable[Finding], *, as_json: bool) -> None:
    if as_json:
        print_json(list(findings))
        return
    for finding in findings:
        sign = _SIGNS[finding.severity]
        say(f"{sign}  {finding.code}: {printable(finding.place)}: {printable(finding.words)}")
        if finding.remedy is not None:
            say(f"      -> {printable(finding.remedy)}")
