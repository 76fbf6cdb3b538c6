"""The operator's hand: orders in the database, carried out at the next tick."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from timmyd.cli.options import ConfigOption, JsonOption, StateOption
from timmyd.cli.output import FAILED, WRONG_USAGE, complain, print_json, say
from timmyd.cli.policy import show
from timmyd.cli.where import Context, context, look_into, not_the_operator
from timmyd.clock import now
from timmyd.core.judging.houses import house_specs
from timmyd.engine import IntelligenceEngine
from timmyd.service.lock import holder
from timmyd.service.logs import printable
from timmyd.store.database import PatternDatabase

_HISTORY = 50

KeyArgument = Annotated[str, typer.Argument(help="A policy, such as ezra.evidence_threshold.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    policy = typer.Typer(
        help="The policy: show, history, rollback, pin, unpin.", no_args_is_help=True
    )
    policy.command()(show)
    policy.command()(history)
    policy.command()(rollback)
    policy.command()(pin)
    policy.command()(unpin)
    app.add_typer(policy, name="policy")


def history(
    *,
    limit: Annotated[
        int, typer.Option("--limit", min=1, help="How many, newest first.")
    ] = _HISTORY,
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """What changed, when and why; the number is what `rollback` takes."""
    events = look_into(context(config, state)).database.get_adaptations(limit)
    if as_json:
        print_json([event.to_dict() for event in events])
        return
    if not events:
        say("nothing has changed yet")
    for event in events:
        say(
            f"{event.id:>5}  {event.timestamp}  {event.kind}  {printable(event.change_type)}"
            f"  {event.old_value} -> {event.new_value}  {printable(event.reason)}"
        )


def rollback(
    event: Annotated[int, typer.Argument(help="The number of the change, from `policy history`.")],
    *,
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set a policy back to what it was before a change."""
    found = context(config, state)
    only_the_operator(found)
    known = look_into(found).database.get_adaptations(100_000)
    if not any(e.id == event and e.change_type.startswith("policy.") for e in known):
        raise typer.BadParameter(f"no change of a policy has the number {event}")
    leave_order(found, "rollback", {"event": event}, as_json=as_json)


def pin(
    key: KeyArgument,
    value: Annotated[float, typer.Argument(help="The value, within the policy's bounds.")],
    *,
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hold a policy at a value, whatever the evidence says."""
    found = context(config, state)
    spec = (house_specs(key.partition(".")[0]) | dict(found.settings.policies)).get(key)
    if spec is None:
        raise typer.BadParameter(f"no policy is called so; there are {_keys(found)}")
    if not spec.least <= value <= spec.most:
        raise typer.BadParameter(
            f"expected a value from {spec.least:g} to {spec.most:g}, found {value:g}"
        )
    leave_order(found, "pin", {"key": key, "value": value}, as_json=as_json)


def unpin(
    key: KeyArgument,
    *,
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let the rules move a policy again."""
    found = context(config, state)
    if key not in found.settings.policies:
        raise typer.BadParameter(f"no policy is called so; there are {_keys(found)}")
    leave_order(found, "unpin", {"key": key}, as_json=as_json)


def _keys(found: Context) -> str:
    return ", ".join(sorted(found.settings.policies))


def only_the_operator(found: Context) -> None:
    """Refuse anybody else, before anything is looked at.

    Raises:
        Exit: This user may give no orders there.
    """
    if (words := not_the_operator(found.state)) is not None:
        complain(words)
        raise typer.Exit(FAILED)


def leave_order(found: Context, kind: str, body: Mapping[str, Any], *, as_json: bool) -> None:
    """Leave an order; without a daemon it is carried out here and now.

    Raises:
        Exit: It was refused, or is not this user's to give.
    """
    only_the_operator(found)
    database = PatternDatabase(found.database)
    try:
        number = database.add_order(kind, body, at=now())
        pid = holder(found.state)
        if pid is None:
            IntelligenceEngine(database, settings=found.settings).analyze_and_adapt()
        told = [e for e in database.get_adaptations(1) if e.trigger == "operator" and pid is None]
    finally:
        database.close()
    refused = any(event.kind == "order_refused" for event in told)
    if as_json:
        print_json({"order": number, "carried_out": pid is None, "daemon": pid})
    elif refused:
        say(printable(told[0].reason))
    elif pid is None:
        said = f": {printable(told[0].reason)}" if told and told[0].kind == "order" else ""
        say(f"order {number} is carried out{said}; it is published when the daemon runs again")
    else:
        say(
            f"order {number} is left for the daemon (pid {pid}), which carries it out at its next tick"
        )
    if refused:
        raise typer.Exit(WRONG_USAGE)
