"""`breaker list | force | clear`: what is refused until when and why, and the operator's hand on it."""

from collections.abc import Iterable
from typing import Annotated, Any

import typer

from timmyd.cli.operate import leave_order, only_the_operator
from timmyd.cli.options import ConfigOption, JsonOption, StateOption
from timmyd.cli.output import UsageError, print_json, say
from timmyd.cli.where import Context, context, look_into
from timmyd.core.model import iso
from timmyd.house.breaker import BreakerKey
from timmyd.house.circuit import CLOSED, OPEN
from timmyd.report import words
from timmyd.service.logs import printable

_MOST_NAMED = 20

HouseArgument = Annotated[str, typer.Argument(help="The house.")]
ToolArgument = Annotated[str, typer.Argument(help="The tool, or model:NAME.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    breaker = typer.Typer(
        help="What is refused until when and why; open or close a breaker by hand.",
        no_args_is_help=True,
    )
    breaker.command("list")(show)
    breaker.command()(force)
    breaker.command()(clear)
    app.add_typer(breaker, name="breaker")


def show(
    *, config: ConfigOption = None, state: StateOption = None, as_json: JsonOption = False
) -> None:
    """What is refused or tried again: since when, until when, and why."""
    engine = look_into(context(config, state))
    now = engine.clock()
    found = [item for item in engine.learner.breakers.published(now) if item["state"] != CLOSED]
    if as_json:
        print_json(found)
        return
    if not found:
        say("nothing is refused")
    elif engine.settings.breaker.mode == "observe":
        say("[breaker] mode is observe: all this is only watched, and nothing is refused")
    for item in found:
        say(_line(item, iso(now)))


def _line(item: dict[str, Any], now: str | None) -> str:
    """Two lines about one breaker, made for 80 columns."""
    name = item["tool"] if item["tool"] is not None else f"model:{item['model']}"
    what = "refused" if item["state"] == OPEN else "being tried again"
    since = words.ago(item["since"], now)
    if item["probe_at"] is None:
        until = f"until `timmyd breaker clear {item['house']} {name}`"
    elif item["state"] == OPEN:
        until = f"until {words.moment(item['probe_at'])}, then tried again"
    else:
        until = "a call now and then, until enough of them succeed"
    return (
        f"{printable(item['house'])}/{printable(name)} is {what}: {item['reason']}\n"
        f"  since {since}; {printable(until)}"
    )


def force(
    house: HouseArgument,
    tool: ToolArgument,
    *,
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Open the breaker of a tool or a model in a house, until it is cleared."""
    _order("force", context(config, state), house, tool, as_json=as_json)


def clear(
    house: HouseArgument,
    tool: ToolArgument,
    *,
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Close the breaker of a tool or a model in a house and forget its evidence."""
    _order("clear", context(config, state), house, tool, as_json=as_json)


def _order(kind: str, found: Context, house: str, tool: str, *, as_json: bool) -> None:
    """Leave the order, if there is such a house, and such a tool anywhere.

    Raises:
        UsageError: Nobody has heard of it, so that it is mistyped.
        Exit: It is not this user's to give.
    """
    only_the_operator(found)
    engine = look_into(found)
    called = engine.database.owners.called()
    key = BreakerKey.named(house, tool)
    if engine.learner.breakers.get(house, key.tool, model=key.model) is None:
        if house not in called:
            raise UsageError(f"no house is called {house}; there are {_listed(called)}")
        known = set[str]().union(*called.values())
        if tool not in known:
            raise UsageError(
                f"no house has ever called {tool}; {house} has called {_listed(called[house])}"
            )
    leave_order(found, kind, {"house": house, "tool": tool}, as_json=as_json)


def _listed(names: Iterable[str]) -> str:
    found = sorted(names)
    more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    return ", ".join(printable(name) for name in found[:_MOST_NAMED]) + more or "none yet"
