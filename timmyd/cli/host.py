"""`enrol | unenrol | enrolled`: which users' homes the service may read."""

from pathlib import Path
from typing import Annotated, Any

import typer

from timmyd.cli.options import JsonOption
from timmyd.cli.output import print_json, say
from timmyd.service import enrol as enrolment
from timmyd.service.enrol import Enrolment
from timmyd.service.logs import printable

UserArgument = Annotated[str, typer.Argument(help="A user of this machine.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (enrol, unenrol, enrolled):
        app.command()(command)


def enrol(
    user: UserArgument,
    *,
    house: Annotated[
        str | None, typer.Option("--house", help="The house's name; by default the user's.")
    ] = None,
    home: Annotated[
        Path | None, typer.Option("--home", help="The Hermes home; by default ~/.hermes of theirs.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Let the service read the Hermes home of a user, from now on. Needs root."""
    done = enrolment.enrol(user, house=house, home=home)
    if as_json:
        print_json(_as_dict(done))
        return
    verb = "is enrolled" if done.changed else "was enrolled already"
    say(f"{printable(user)} {verb}: {printable(done.home)} is house {done.house}")
    say(f"  {_seen(done)}")


def unenrol(user: UserArgument, *, as_json: JsonOption = False) -> None:
    """Take a user's home out of the service's sight; what was learned stays. Needs root."""
    done = enrolment.unenrol(user)
    if as_json:
        print_json(_as_dict(done))
        return
    say(f"{printable(user)} is no longer enrolled; what was learned stays")
    if done.house:
        say(f"  not to learn from it any more: timmyd house quarantine {done.house}")
        say(f"  to take it out for good: timmyd house forget {done.house}")


def enrolled(*, as_json: JsonOption = False) -> None:
    """Who is enrolled, and whether the running service sees their home. Needs root."""
    found = enrolment.enrolled()
    if as_json:
        print_json([_as_dict(one) for one in found])
        return
    if not found:
        say("nobody is enrolled; timmyd enrol USER enrols someone")
    for one in found:
        where = "" if one.problem and not one.house else f" {printable(one.home)}"
        say(f"{printable(one.user)}: house {printable(one.house or '?')}{where}: {_seen(one)}")


def _seen(one: Enrolment) -> str:
    if one.problem is not None:
        return printable(one.problem)
    if one.seen is None:
        return "the service does not run"
    return "the service sees it" if one.seen else "it is not there yet; the service will see it"


def _as_dict(one: Enrolment) -> dict[str, Any]:
    return {
        "user": one.user,
        "house": one.house,
        "home": str(one.home),
        "seen": one.seen,
        "problem": one.problem,
        "changed": one.changed,
    }
