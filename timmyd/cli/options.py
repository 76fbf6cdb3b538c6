"""The options that most commands take."""

from pathlib import Path
from typing import Annotated

import typer

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="Settings file; by default those of the service or the user."),
]
StateOption = Annotated[
    Path | None,
    typer.Option("--state", help="State directory; by default that of the service or the user."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
