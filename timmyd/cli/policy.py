"""`policy show`: the published file as the houses see it."""

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import typer

from timmyd.cli.options import ConfigOption, JsonOption, StateOption
from timmyd.cli.output import FAILED, complain, print_json, say
from timmyd.cli.where import context
from timmyd.clock import now
from timmyd.config import policy_path
from timmyd.service.logs import printable


def show(
    *, config: ConfigOption = None, state: StateOption = None, as_json: JsonOption = False
) -> None:
    """The policy as it is published: values, choices, breakers, trials."""
    found = context(config, state)
    target = policy_path(found.settings, found.state)
    document = _read(target)
    if as_json:
        print_json(document)
        return
    try:
        _print(document, target)
    except (KeyError, TypeError, ValueError, AttributeError):
        complain(f"{target} is no policy of timmyd")
        raise typer.Exit(FAILED) from None


def _read(target: Path) -> Any:
    try:
        return json.loads(target.read_bytes())
    except FileNotFoundError:
        complain(f"{target} is not there\n  hint: `timmyd run --once` publishes it")
    except (OSError, ValueError, RecursionError) as error:
        complain(f"{target} cannot be read: {error}")
    raise typer.Exit(FAILED)


def _print(document: Mapping[str, Any], target: Path) -> None:
    expires = document["expires_at"]
    say(f"revision {document['revision']} of {printable(target)}, until {printable(expires)}")
    if datetime.fromisoformat(expires).timestamp() < now():
        say("it has expired: houses use the built-in values")
    if document["mode"] == "observe":
        say("it only observes: houses use the built-in values, with every breaker closed")
    for house, values in document["policies"].items():
        for key, value in values.items():
            why = document["why"].get(f"{house}.{key}", {})
            name = printable(f"{house}.{key}")
            say(f"{name} = {value:g}  {printable(why.get('reason') or '')}".rstrip())
    for kind in ("models", "routes"):
        for key, choice in document[kind].items():
            best = choice.get("model") or choice.get("house")
            samples = int(choice["samples"])
            say(f"{kind[:-1]} for {printable(key)}: {printable(best)} ({samples} samples)")
    for breaker in document["breakers"]:
        if breaker["state"] != "closed":
            what = breaker["tool"] or breaker["model"]
            say(
                f"{printable(breaker['state'])}: {printable(breaker['house'])} {printable(what)}:"
                f" {printable(breaker['reason'])}"
            )
    for trial in document["trials"]:
        values = f"{trial['old']:g} against {trial['new']:g}"
        say(f"on trial: {printable(trial['policy'])} {values}")
