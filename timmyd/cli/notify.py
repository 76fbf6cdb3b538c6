"""`notify run | test`: tell others what happened."""

import signal
import sys
import threading
from datetime import tzinfo
from zoneinfo import ZoneInfo

import typer

from timmyd.cli.options import ConfigOption, JsonOption, StateOption
from timmyd.cli.output import FAILED, print_json, say
from timmyd.cli.where import context
from timmyd.clock import now
from timmyd.config import Settings
from timmyd.core.alerts import Alert
from timmyd.core.model import iso
from timmyd.notify.destinations import DeliveryError
from timmyd.notify.runner import Runner
from timmyd.notify.wishes import destinations
from timmyd.service.logs import EventLogger, configure
from timmyd.service.systemd import Notifier
from timmyd.store.events import EventReader

PLACE = "notify.json"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    notify = typer.Typer(
        help="Tell others what happened, as [[notify]] in the settings says.", no_args_is_help=True
    )
    notify.command()(run)
    notify.command("test")(try_all)
    app.add_typer(notify, name="notify")


def run(*, config: ConfigOption = None, state: StateOption = None) -> None:
    """Send events as they come, until SIGTERM; what could not be sent is tried again for a day."""
    found = context(config, state)
    log: EventLogger = configure(
        found.settings.log.level, found.settings.log.format, stream=sys.stderr
    )
    targets = destinations(found.settings.notify)
    if not targets:
        say("nobody is to be told anything: no [[notify]] in the settings")
        return
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    systemd = Notifier()
    events = EventReader(found.database)
    runner = Runner(
        events,
        found.state / PLACE,
        targets,
        clock=now,
        zone=zone_of(found.settings),
        log=log,
        alive=systemd.watchdog,
    )
    systemd.ready("tells what happens")
    while not stop.wait(runner.step()):
        systemd.watchdog()
    events.close()


def try_all(
    *, config: ConfigOption = None, state: StateOption = None, as_json: JsonOption = False
) -> None:
    """Send a test event to every destination now, and say how each took it."""
    found = context(config, state)
    targets = destinations(found.settings.notify)
    event = Alert(
        id=0,
        at=iso(now()) or "",
        kind="test",
        severity="info",
        house=None,
        subject="timmyd",
        trouble="test",
        over=False,
        old=None,
        new=None,
        text="A test: timmyd can reach you.",
    )
    results: dict[str, str | None] = {}
    for name, (_, destination) in targets.items():
        try:
            destination.deliver([event])
        except DeliveryError as error:
            results[name] = str(error)
        else:
            results[name] = None
    if as_json:
        print_json(
            {name: {"delivered": why is None, "reason": why} for name, why in results.items()}
        )
    else:
        for name, why in results.items():
            say(f"{name}: {'delivered' if why is None else 'not delivered: ' + why}")
        if not results:
            say("nobody is to be told anything: no [[notify]] in the settings")
    if any(results.values()):
        raise typer.Exit(FAILED)


def zone_of(settings: Settings) -> tzinfo | None:
    """The zone of quiet hours; None for the machine's own."""
    return None if settings.clock.zone == "system" else ZoneInfo(settings.clock.zone)
