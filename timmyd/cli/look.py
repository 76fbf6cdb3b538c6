"""Commands that only look; all of them work with the daemon down."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from timmyd import __version__
from timmyd.cli.common import (
    FAILED,
    ConfigOption,
    JsonOption,
    StateOption,
    console,
    context,
    look_into,
    print_json,
    say,
)
from timmyd.config import policy_path, schema as config_schema
from timmyd.core.document import schema as policy_schema
from timmyd.service.lock import holder
from timmyd.service.logs import printable
from timmyd.sources.telemetry import schema as telemetry_schema

_SCHEMAS = {"config": config_schema, "policy": policy_schema, "telemetry": telemetry_schema}
_STALE_S = 120.0

ToolArgument = Annotated[str, typer.Argument(help="The tool, as Hermes names it.")]
ParamsOption = Annotated[
    str | None, typer.Option("--params", help="The arguments of the call, as a JSON object.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (status, report, predict, route, model, explain, schema, version):
        app.command()(command)


def status(
    *, config: ConfigOption = None, state: StateOption = None, as_json: JsonOption = False
) -> None:
    """Is it alive, what waits, what was published, what is ignored or failing and why."""
    found = context(config, state)
    pid = holder(found.state)
    engine = look_into(found)
    known: dict[str, Any] = json.loads(engine.database.state("status") or b"{}")
    now = engine.clock()
    known |= {
        "running": pid is not None,
        "pid": pid,
        "executions": engine.database.counters().get("executions", 0),
        "open_breakers": engine.open_breakers(),
        "trials": engine.trials(),
        "failing": [
            {
                "file": printable(row.path.decode("utf-8", "backslashreplace")),
                "reason": row.reason,
                "place": row.place,
                "detail": row.detail,
            }
            for row in engine.database.files(("failed",))[:50]
        ],
        "state": str(found.state),
    }
    if as_json:
        print_json(known)
    else:
        _print_status(known, now)
    if pid is None:
        raise typer.Exit(FAILED)


def _print_status(known: dict[str, Any], now: float) -> None:
    pid = known["pid"]
    say(f"timmyd is {'not running' if pid is None else f'running (pid {pid})'} on {known['state']}")
    seen = known.get("seen_at")
    if seen is None:
        say("nothing was recorded yet")
        return
    if pid is not None and now - seen > _STALE_S:
        say(f"its last tick was {_ago(now - seen)} ago: it may hang")
    say(
        f"revision {known['revision']}, published {_when(known.get('published_at'), now)};"
        f" last read {_when(known.get('ingested_at'), now)};"
        f" {known['backlog']} files wait"
    )
    say(f"{known['executions']} executions counted; {known['open_breakers']} breakers open")
    for trial in known["trials"]:
        say(f"on trial: {trial['policy']} {trial['old']} against {trial['new']}")
    for folder in known.get("folders", ()):
        why = f" ({folder['reason']})" if folder["reason"] else ""
        say(f"{folder['state']}: {printable(folder['path'])} is {folder['house']}{why}")
    if known.get("observer") == "polling":
        say("inotify has no room: directories are polled")
    for row in known["failing"]:
        say(f"failing: {row['file']}: {row['reason']} at {row['place']}: {row['detail']}")
    for row in known.get("refused", ()):
        say(f"refused: {printable(row['file'])}: {row['reason']}")
    if known.get("ignored"):
        say(f"{known['ignored']} files are none of ours and were ignored")


def _when(at: float | None, now: float) -> str:
    return "never" if at is None else f"{_ago(now - at)} ago"


def _ago(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def report(
    *,
    days: Annotated[
        float, typer.Option("--days", min=0.04, help="How many days to look back.")
    ] = 7.0,
    everything: Annotated[bool, typer.Option("--all", help="All that is kept.")] = False,
    html: Annotated[
        Path | None, typer.Option("--html", help="Write it as one self-contained page.")
    ] = None,
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """The intelligence report: who succeeds at what, how surely, and what was decided on it."""
    from timmyd.report.collect import collect  # noqa: PLC0415 - `run` need not wait for it
    from timmyd.report.data import to_json  # noqa: PLC0415
    from timmyd.report.page import render as render_page  # noqa: PLC0415
    from timmyd.report.text import render  # noqa: PLC0415

    found = collect(look_into(context(config, state)), days=None if everything else days)
    if html is not None:
        html.write_text(render_page(found), encoding="utf-8")
        say(f"written to {html}")
    elif as_json:
        say(to_json(found))
    else:
        console().print(render(found))


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
    house: Annotated[str, typer.Option("--house", help="Who would call it.")] = "timmy",
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


def model(
    task_type: Annotated[str, typer.Argument(help="read, build, test, judge or other.")],
    *,
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Which model should do a type of task, and why."""
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


def schema(
    what: Annotated[str, typer.Argument(help="config, policy or telemetry.")],
) -> None:
    """The JSON Schema of a format."""
    made = _SCHEMAS.get(what)
    if made is None:
        raise typer.BadParameter(f"expected config, policy or telemetry, found {printable(what)}")
    print_json(made())


def version(*, as_json: JsonOption = False) -> None:
    """The version of timmyd."""
    if as_json:
        print_json({"version": __version__})
    else:
        say(f"timmyd {__version__}")


def show_policy(
    *, config: ConfigOption = None, state: StateOption = None, as_json: JsonOption = False
) -> None:
    """The policy as it is published: values, choices, breakers, trials."""
    found = context(config, state)
    target = policy_path(found.settings, found.state)
    try:
        document = json.loads(target.read_bytes())
    except (OSError, ValueError) as error:
        say(f"{target} cannot be read: {error}")
        raise typer.Exit(FAILED) from None
    if as_json:
        print_json(document)
        return
    say(f"revision {document['revision']} of {target}, until {document['expires_at']}")
    expires = datetime.fromisoformat(document["expires_at"])
    if expires < datetime.fromtimestamp(look_into(found).clock(), UTC):
        say("it has expired: houses use the built-in values")
    for house, values in document["policies"].items():
        for key, value in values.items():
            why = document["why"].get(f"{house}.{key}", {})
            say(f"{house}.{key} = {value:g}  {why.get('reason') or ''}".rstrip())
    for name in ("models", "routes"):
        for key, choice in document[name].items():
            best = choice.get("model") or choice.get("house")
            say(
                f"{name[:-1]} for {printable(key)}: {printable(best)} ({choice['samples']} samples)"
            )
    for breaker in document["breakers"]:
        if breaker["state"] != "closed":
            what = breaker["tool"] or breaker["model"]
            say(f"{breaker['state']}: {breaker['house']} {printable(what)}: {breaker['reason']}")
