"""`budget` and `remedy`: what may be spent and how full it is; what helped after a failure."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from timmyd.cli.notify import zone_of
from timmyd.cli.operate import leave_order
from timmyd.cli.options import ConfigOption, JsonOption, StateOption
from timmyd.cli.output import print_json, say
from timmyd.cli.where import context, default_home, look_into
from timmyd.clock import now
from timmyd.house.budget import OWN_FILE, PUBLISHED_FILE, Budget, read_table
from timmyd.house.ledger import CAPS, caps_of, window_ends
from timmyd.house.requests import in_words
from timmyd.service.logs import printable

_TURN_S = 3_600.0

CapArgument = Annotated[str, typer.Argument(help=f"One of {', '.join(CAPS)}.")]
ValueArgument = Annotated[float, typer.Argument(min=0.0, help="Tokens, or money.")]
HomeOption = Annotated[
    Path | None, typer.Option("--home", help="The Hermes home; by default this user's.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    budget = typer.Typer(
        help="What houses may spend: show, set lower in a home, raise.", no_args_is_help=True
    )
    budget.command()(show)
    budget.command("set")(set_own)
    budget.command("raise")(raise_cap)
    app.add_typer(budget, name="budget")
    app.command()(remedy)


def show(*, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """How full the caps of a home's house are; works with the daemon down."""
    kept = Budget(_folder(home), clock=now)
    standing = kept.standing()
    if as_json:
        print_json(
            {"caps": {one.cap: {"limit": one.limit, "used": one.used} for one in standing},
             "trouble": kept.trouble or None}
        )  # fmt: skip
        return
    for one in standing:
        say(in_words(one))
    if kept.trouble:
        say(f"the account cannot be kept: {kept.trouble}")
    if not standing:
        say("no caps: none in the settings, and none set here")


def set_own(
    cap: CapArgument,
    value: ValueArgument,
    *,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set a cap in this home; it may only be lower than the operator's."""
    _check(cap)
    folder = _folder(home)
    operators = caps_of(read_table(folder / PUBLISHED_FILE).get("caps")).get(cap)
    if operators is not None and value > operators:
        raise typer.BadParameter(
            f"the operator's cap is {operators:g}; here it can only be lowered"
            f" (sudo timmyd budget raise HOUSE {cap} VALUE raises it)"
        )
    own = caps_of(read_table(folder / OWN_FILE).get("caps")) | {cap: value}
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / OWN_FILE).write_text(json.dumps({"caps": own}), encoding="utf-8")
    if as_json:
        print_json({"caps": own})
    else:
        say(f"{cap} is {value:g} in {folder.parent.parent}")


def raise_cap(
    house: Annotated[str, typer.Argument(help="The house.")],
    cap: CapArgument,
    value: ValueArgument,
    *,
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Raise a cap of the settings for the window at hand; the operator's."""
    _check(cap)
    found = context(config, state)
    table = found.settings.budget.get(house)
    limit = None if table is None else getattr(table, cap)
    if limit is None:
        raise typer.BadParameter(f"[budget.{house}] {cap} is not set, so there is nothing to raise")
    if value <= limit:
        raise typer.BadParameter(f"it is {limit:g}; a lower cap is set in the settings")
    moment = datetime.fromtimestamp(now(), UTC).astimezone(zone_of(found.settings))
    ends = window_ends(cap, moment)
    until = now() + _TURN_S if ends is None else ends.timestamp()
    body: dict[str, Any] = {"house": house, "cap": cap, "value": value, "until": until}
    leave_order(found, "raise_budget", body, as_json=as_json)


def remedy(
    tool: Annotated[str, typer.Argument(help="The tool that failed.")],
    shape: Annotated[
        str | None, typer.Argument(help="The shape of the call, such as `git push`.")
    ] = None,
    *,
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """What helped after a failure of a tool, from the order of calls alone."""
    engine = look_into(context(config, state))
    known = [
        (failure, remedies)
        for failure, remedies in engine.learner.retrying.known_remedies().items()
        if failure.tool == tool and shape in (None, failure.shape)
    ]
    if as_json:
        print_json(
            [
                failure._asdict() | {"remedies": [one._asdict() for one in found]}
                for failure, found in known
            ]
        )
        return
    for failure, found in known:
        say(
            printable(
                f"{failure.house}: after {failure.tool} ({failure.shape}) {failure.error_type}"
            )
        )
        for one in found:
            say(
                printable(
                    f"  {one.tool} ({one.shape}): over in {one.success:.0%} of {one.samples:.0f} cases,"
                    f" {one.lift * 100:+.0f} points to without it"
                )
            )
    if not known:
        say("nothing is known to help beyond chance yet")


def _folder(home: Path | None) -> Path:
    root = default_home() if home is None else home
    if not root.is_dir():
        raise typer.BadParameter(f"--home: {root} is no directory")
    return root / "sessions" / "timmy"


def _check(cap: str) -> None:
    if cap not in CAPS:
        raise typer.BadParameter(f"no cap is called so; there are {', '.join(CAPS)}")
