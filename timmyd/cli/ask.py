"""The three questions, and why things are as they are; all work with the daemon down."""

import json
from typing import Annotated, Any

import typer

from timmyd.cli.options import ConfigOption, JsonOption, StateOption
from timmyd.cli.output import UsageError, print_json, say
from timmyd.cli.where import context, look_into
from timmyd.core.model import iso
from timmyd.core.tasks import TASK_TYPES
from timmyd.engine import IntelligenceEngine
from timmyd.house.keys import FALLBACK_HOUSE
from timmyd.report.breaker_words import breaker_sentences
from timmyd.service.logs import printable

_TASK_TYPES = tuple(dict.fromkeys((*TASK_TYPES, "other")))

ToolArgument = Annotated[str, typer.Argument(help="The tool, as Hermes names it.")]
ParamsOption = Annotated[
    str | None, typer.Option("--params", help="The arguments of the call, as a JSON object.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (predict, route, model, explain):
        app.command()(command)


def _params(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        value = json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"--params: expected a JSON object: {error}") from None
    if not isinstance(value, dict):
        raise typer.BadParameter("--params: expected a JSON object, found another value")
    return value


def predict(
    tool: ToolArgument,
    *,
    house: Annotated[str, typer.Option("--house", help="Who would call it.")] = FALLBACK_HOUSE,
    params: ParamsOption = None,
    model: Annotated[str | None, typer.Option("--model", help="With which model.")] = None,
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """How likely a call would succeed, and why."""
    engine = look_into(context(config, state))
    found = engine.predict(tool, house, _params(params), model=model)
    if as_json:
        print_json({"tool": tool, "house": house, **found})
        return
    rate = found["success"]
    interval = "" if rate is None else f" [{found['low']:.0%} to {found['high']:.0%}]"
    say(f"{'unknown' if rate is None else format(rate, '.0%')}{interval}: {found['reasoning']}")
    _say_unheard(engine, tool, house)


def _say_unheard(engine: IntelligenceEngine, tool: str, house: str | None = None) -> None:
    """Say where a name is likely mistyped."""
    called = engine.database.owners.called()
    if not any(tool in names for names in called.values()):
        say(f"  nobody has called {printable(tool)} yet: is it spelled right?")
    if house not in {None, FALLBACK_HOUSE} and called and house not in called:
        say(f"  no house is called {printable(house)}; there are {', '.join(sorted(called))}")


def route(
    tool: ToolArgument,
    *,
    params: ParamsOption = None,
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Which house should call a tool, and why."""
    engine = look_into(context(config, state))
    found = engine.explain_route(tool, _params(params))
    if as_json:
        print_json({"tool": tool, **found})
        return
    sure = "" if found["confidence"] is None else f" ({found['confidence']:.0%})"
    say(f"{found['house']}{sure}: {found['reasoning']}")
    _say_unheard(engine, tool)


def model(
    task_type: Annotated[str, typer.Argument(help="read, build, test, judge or other.")],
    *,
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Which model should do a type of task, and why."""
    if task_type not in _TASK_TYPES:
        raise UsageError(
            f"{printable(task_type)} is no type of task; there are {', '.join(_TASK_TYPES)}"
        )
    engine = look_into(context(config, state))
    found = engine.explain_model(task_type)
    if as_json:
        print_json({"task_type": task_type, **found})
        return
    say(f"{printable(found['model'] or 'none')}: {found['reasoning']}")


def explain(
    key: Annotated[
        str, typer.Argument(help="A policy (ezra.evidence_threshold), HOUSE/TOOL, or a task type.")
    ],
    *,
    config: ConfigOption = None,
    state: StateOption = None,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="With all figures.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Why a policy, breaker or choice is what it is, and what still lacks for it to change."""
    engine = look_into(context(config, state))
    try:
        found = engine.explain(key)
    except KeyError:
        raise typer.BadParameter(
            f"nothing is called {printable(key)}; policies: {', '.join(engine.policy_keys())}"
        ) from None
    if as_json:
        print_json(found)
        return
    sentences = breaker_sentences(found, iso(engine.clock())) if "evidence_needed" in found else []
    for line in sentences:
        say(printable(line, 400))
    if sentences and not verbose:
        return
    for name, value in found.items():
        if value not in (None, [], {}, ""):
            say(f"{name}: {_plain(value)}")


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(
            f"{name} {_plain(item)}" for name, item in value.items() if item is not None
        )
    if isinstance(value, list):
        return "".join(f"\n  {_plain(item)}" for item in value)
    if isinstance(value, float):
        return f"{value:.6g}"
    return printable(str(value))
