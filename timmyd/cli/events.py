"""`timmyd events`: what happened, as it happens."""

import json
import sys
import threading
from typing import Annotated, Any

import typer

from timmyd.cli.options import ConfigOption, JsonOption, StateOption
from timmyd.cli.output import print_json, say
from timmyd.cli.where import context
from timmyd.core.alerts import KINDS
from timmyd.core.model import AdaptationEvent
from timmyd.errors import StoreError
from timmyd.report import words
from timmyd.service.logs import printable
from timmyd.store.events import EventReader

_SHOWN = 20
_MOST_AT_ONCE = 1000
_LOOK_EVERY_S = 1.0


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(events)


def events(
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")
    ] = False,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=0, help="How many of the newest.")
    ] = _SHOWN,
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """What happened, oldest first: breakers, falls, trials, orders, trouble; with --follow as it happens."""
    reader = EventReader(context(config, state).database)
    try:
        shown = reader.newest(limit)
        if not follow:
            _print(shown, as_json=as_json)
            return
        _print_each(shown, as_json=as_json)
        _follow(reader, shown[-1].id if shown else reader.last(), as_json=as_json)
    finally:
        reader.close()


def _print(found: list[AdaptationEvent], *, as_json: bool) -> None:
    if as_json:
        print_json([_plain(event) for event in found])
        return
    if not found:
        say("nothing has happened yet")
    for event in found:
        say(event_line(event))


def _print_each(found: list[AdaptationEvent], *, as_json: bool) -> None:
    """One line an event, seen at once by whoever reads them."""
    for event in found:
        say(json.dumps(_plain(event), allow_nan=False) if as_json else event_line(event))
    sys.stdout.flush()


def _follow(reader: EventReader, place: int, *, as_json: bool) -> None:
    """Until Ctrl-C. A database that is busy or away for a while is looked at again.

    Raises:
        StoreError: It is there and cannot be used.
    """
    never = threading.Event()
    while True:
        try:
            last = reader.last()
            place = min(place, last)  # a backup was restored: its numbers begin before ours
            found = reader.after(place, _MOST_AT_ONCE)
        except StoreError as error:
            if not error.retry:
                raise
            found = []
        _print_each(found, as_json=as_json)
        place = found[-1].id if found else place
        if len(found) < _MOST_AT_ONCE:
            never.wait(_LOOK_EVERY_S)


def _plain(event: AdaptationEvent) -> dict[str, Any]:
    return {**event.to_dict(), "severity": KINDS.get(event.kind, "info")}


def event_line(event: AdaptationEvent) -> str:
    """An event in a line."""
    mark = {"critical": "!!", "warning": "! "}.get(KINDS.get(event.kind, "info"), "  ")
    moved = ""
    if not (event.old_value is None and event.new_value is None):
        moved = f" {words.number(event.old_value)} -> {words.number(event.new_value)}"
    return (
        f"{event.id:>5}  {words.moment(event.timestamp)}  {mark} {printable(event.kind)}"
        f"  {printable(event.change_type)}{moved}  {printable(event.reason)}"
    )
