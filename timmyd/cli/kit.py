"""`hermes install | status | uninstall`: the house kit in a Hermes home."""

from pathlib import Path
from typing import Annotated, Any

import typer

from timmyd.cli.options import JsonOption, YesOption
from timmyd.cli.output import FAILED, UsageError, agreed, complain, print_json, say
from timmyd.cli.where import default_home
from timmyd.clock import now
from timmyd.core.model import iso
from timmyd.house import KIT_VERSION
from timmyd.house.seam import seam_of
from timmyd.house.units import DAY_S
from timmyd.service import hermes_kit, kit_status
from timmyd.service.files import open_home
from timmyd.service.kit_status import KitStatus, is_newer
from timmyd.service.logs import printable
from timmyd.service.privilege import become_owner
from timmyd.service.refusal import FileRefusedError, Reason

HomeOption = Annotated[
    Path | None, typer.Option("--home", help="The Hermes home; by default ~/.hermes.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    hermes = typer.Typer(
        help="The house kit in a Hermes home: install, status, uninstall.", no_args_is_help=True
    )
    hermes.command()(install)
    hermes.command()(status)
    hermes.command()(uninstall)
    app.add_typer(hermes, name="hermes")


def install(
    *,
    house: Annotated[
        str | None,
        typer.Option("--house", help="The house's name; by default the profile's, else timmy."),
    ] = None,
    mode: Annotated[
        str | None, typer.Option("--mode", help="simple, intelligent (default) or sovereign.")
    ] = None,
    home: HomeOption = None,
    leave_config: Annotated[
        bool,
        typer.Option(
            "--leave-config", help="Leave config.yaml to you: hermes plugins enable timmy."
        ),
    ] = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Put the house kit into a Hermes home, or bring it up to date; shows the changes and asks."""
    plan = hermes_kit.plan_install(_home(home), house=house, mode=mode, leave_config=leave_config)
    if not as_json:
        for change in plan.changes:
            say(printable(change))
    if not yes and not agreed():
        complain("nothing was changed")
        raise typer.Exit(FAILED)
    done = hermes_kit.install(plan, now=now())
    if as_json:
        print_json({"changes": list(plan.changes), **_as_dict(done)})
    else:
        say("done; Hermes loads it with its next session")
        _say_grace(done)


def status(*, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """How the kit is in a Hermes home and in its profiles."""
    found = [kit_status.status(path) for path in kit_status.homes(_home(home))]
    if home is not None and not found:
        raise UsageError(f"there is no Hermes home at {home}")
    if as_json:
        print_json([_as_dict(one) for one in found])
        return
    if not found:
        say(f"there is no Hermes home at {_home(home)}")
    for one in found:
        _print(one)


def uninstall(
    *,
    home: HomeOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Take the kit out of a Hermes home: config.yaml gets its own bytes back. Telemetry stays."""
    where = _home(home)
    if home is not None and not where.is_dir():
        raise UsageError(f"there is no Hermes home at {home}")
    there = kit_status.status(where).kit is not None
    if there and not as_json:
        say(f"remove {where / 'plugins' / kit_status.PLUGIN} and its line in config.yaml")
    if there and not yes and not agreed():
        complain("nothing was changed")
        raise typer.Exit(FAILED)
    done = hermes_kit.uninstall(where)
    if as_json:
        print_json({"home": str(where), "done": list(done)})
        return
    for line in done or (f"the kit is not in {where}",):
        say(printable(line))


def _home(home: Path | None) -> Path:
    """The home; from then on root acts as its owner, whose links lead nowhere new then.

    Raises:
        FileRefusedError: Somebody else's link leads there.
    """
    found = (default_home() if home is None else home).absolute()
    try:
        with open_home(found):
            become_owner(found)
    except FileRefusedError as refusal:
        if refusal.reason is not Reason.VANISHED:
            raise
    return found


def _as_dict(one: KitStatus) -> dict[str, Any]:
    return {
        "home": str(one.home),
        "house": one.house,
        "mode": one.mode,
        "kit": one.kit,
        "current": one.current,
        "damaged": one.damaged,
        "since": one.since,
        "upgraded_from": one.upgraded_from,
        "enabled": one.enabled,
        "trouble": one.trouble or None,
        "hermes": one.hermes,
        "telemetry_files": one.written.files,
        "last_at": iso(one.written.last_at),
        "last_kit": one.written.kit,
        "seam": one.written.seam,
        "caps": one.caps,
        "grace_until": iso(one.grace_until),
    }


def _print(one: KitStatus) -> None:
    say(f"{printable(one.home)}: Hermes {printable(one.hermes or 'not found')}")
    if one.kit is None:
        say("  the house kit is not installed; timmyd hermes install puts it there")
        return
    parts = [f"house kit {printable(one.kit)}", f"house {printable(one.house)}, mode {one.mode}"]
    if not one.current:
        way = "upgrade timmyd" if is_newer(one) else "timmyd hermes install brings it up to date"
        parts.append(f"this timmyd is {KIT_VERSION}: {way}")
    elif one.damaged:
        parts.append("files of it are missing or were changed: timmyd hermes install mends it")
    enabled = {True: "enabled", False: "not enabled", None: one.trouble}[one.enabled]
    say(f"  {'; '.join([*parts, printable(enabled)])}")
    _say_grace(one)
    if one.written.last_at is None:
        say("  it has not written yet, so nobody can tell yet how it takes part in tool calls")
        return
    seam = seam_of(one.written.seam)
    say(f"  it {'does not say how it takes part in tool calls' if seam is None else seam.words}")
    if one.caps is not None:
        say(f"  caps are {one.caps.words}")
    days = (now() - one.written.last_at) / DAY_S
    say(f"  {one.written.files} files of telemetry, the last written {days:.1f} days ago")


def _say_grace(one: KitStatus) -> None:
    """Until when a kit that took the place of a 0.1 only advises what that one did not refuse."""
    if one.grace_until is not None and now() < one.grace_until:
        say(f"  new kinds of refusal are advice only until {iso(one.grace_until)}")
