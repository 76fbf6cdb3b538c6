"""`house list | quarantine | release | forget`: whose each house is, and what is learned from it."""

from typing import Annotated, Any

import typer

from timmyd.cli.operate import leave_order
from timmyd.cli.options import ConfigOption, JsonOption, StateOption, YesOption
from timmyd.cli.output import FAILED, agreed, complain, print_json, say
from timmyd.cli.where import Context, context
from timmyd.core.model import iso
from timmyd.core.ownership import OwnedHouse
from timmyd.service.logs import printable
from timmyd.store.database import PatternDatabase

HouseArgument = Annotated[str, typer.Argument(help="The house, as `house list` names it.")]

_LOST = (
    "Its executions, hour buckets, patterns, requests and turns are removed, tokens and cost of its\n"
    "models as far as executions are kept. Its breakers and the evidence of rules that heard it go;\n"
    "predictions and choices are learned again without it. Nothing of it comes back by a release;\n"
    "only the ledger stays, so its files are refused now and never counted twice."
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    house = typer.Typer(
        help="Houses: list, quarantine (counted, not learned from), release, forget.",
        no_args_is_help=True,
    )
    house.command("list")(list_houses)
    house.command()(quarantine)
    house.command()(release)
    house.command()(forget)
    app.add_typer(house, name="house")


def list_houses(
    *, config: ConfigOption = None, state: StateOption = None, as_json: JsonOption = False
) -> None:
    """Every house with its owner, its calls, and whether anything is learned from it."""
    database = PatternDatabase(context(config, state).database, read_only=True)
    houses = database.owners.all()
    calls: dict[str, int] = {}
    for counted in database.tool_counts(0.0):
        calls[counted.house] = calls.get(counted.house, 0) + sum(counted.counts)
    rows = [_as_dict(house, calls.get(name, 0)) for name, house in houses.items()]
    if as_json:
        print_json(rows)
        return
    if not rows:
        say("there is no house yet")
    for row in rows:
        claimed = f", claims to be {row['claimed']}" if row["claimed"] != row["house"] else ""
        set_aside = "" if row["state"] == "active" else f"; {row['state']}"
        say(
            f"{row['house']}: of {printable(row['owner'])}{claimed}; {row['calls']} calls{set_aside}"
        )


def quarantine(
    house: HouseArgument,
    *,
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take the rows of a house out of every estimate; it is counted and shown on."""
    found = _known(house, context(config, state))
    leave_order(found, "quarantine", {"house": house}, as_json=as_json)


def release(
    house: HouseArgument,
    *,
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Learn from a house again that was quarantined or forgotten."""
    found = _known(house, context(config, state))
    leave_order(found, "release", {"house": house}, as_json=as_json)


def forget(
    house: HouseArgument,
    *,
    yes: YesOption = False,
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove all that was counted of a house, for good; its files are refused until `release`."""
    found = _known(house, context(config, state))
    if not as_json:
        say(_LOST)
    if not yes and not agreed():
        complain("nothing was changed")
        raise typer.Exit(FAILED)
    leave_order(found, "forget", {"house": house}, as_json=as_json)


def _known(house: str, found: Context) -> Context:
    """The context, where it knows the house.

    Raises:
        BadParameter: It does not.
    """
    database = PatternDatabase(found.database, read_only=True)
    try:
        names = list(database.owners.all())
    finally:
        database.close()
    if house not in names:
        text = f"no house is called so; there are {', '.join(names) or 'none'}"
        raise typer.BadParameter(text)
    return found


def _as_dict(house: OwnedHouse, calls: int) -> dict[str, Any]:
    return {
        "house": house.name,
        "owner": house.owner,
        "uid": house.uid,
        "claimed": house.claimed or house.name,
        "state": house.state,
        "calls": calls,
        "first_seen": iso(house.first_seen),
    }
