"""Commands that need neither settings nor state: the formats and the version."""

from typing import Annotated

import typer

from timmyd import __version__
from timmyd.cli.options import JsonOption
from timmyd.cli.output import print_json, say
from timmyd.config import schema as config_schema
from timmyd.core.policy import schema as policy_schema
from timmyd.service.logs import printable
from timmyd.sources.telemetry import schema as telemetry_schema

_SCHEMAS = {"config": config_schema, "policy": policy_schema, "telemetry": telemetry_schema}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(schema)
    app.command()(version)


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
