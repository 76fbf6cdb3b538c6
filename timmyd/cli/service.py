"""`service install | status | uninstall`: timmyd under systemd, for one user or for the machine."""

import json
import os
import pwd
import subprocess
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

import typer

from timmyd import __version__
from timmyd.cli.options import JsonOption
from timmyd.cli.output import FAILED, UsageError, print_json, say
from timmyd.cli.where import default_home
from timmyd.config import policy_path, state_dir
from timmyd.config.settings import Settings
from timmyd.service import kit_status
from timmyd.service.logs import printable
from timmyd.service.shipped import checkout, shipped
from timmyd.service.user_service import ServiceError, ServiceState, UserService, run

UserOption = Annotated[
    bool, typer.Option("--user", help="For this user alone; the default but for root.")
]
SystemOption = Annotated[
    bool,
    typer.Option("--system", help="For the machine, with users enrolled; the default for root."),
]
_INSTALLER = "systemd/install"
_SYSTEM_UNIT = "timmyd.service"
_WEAKER = "a user's unit cannot be shut off from the network and from the other files of its user, as the machine's is"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    service = typer.Typer(
        help="timmyd under systemd: install, status, uninstall.", no_args_is_help=True
    )
    service.command()(install)
    service.command()(status)
    service.command()(uninstall)
    app.add_typer(service, name="service")


def install(
    *,
    user: UserOption = False,
    system: SystemOption = False,
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="WHAT",
            help="With --system: what pip is to install, a wheel or a folder; by default what this is from.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
    ] = False,
) -> None:
    """Install timmyd as a service and start it, or bring it up to date; settings and state are kept."""
    if _is_system(user=user, system=system):
        words = ["--dry-run"] if dry_run else []
        if checkout() is None or source is not None:
            words += ["--from", source or _origin()]
        raise typer.Exit(_installer(*words))
    if source is not None:
        raise UsageError(
            "--from goes with --system: a user's service runs the timmyd that is asked"
        )
    mine = UserService()
    home = default_home().absolute()
    if dry_run:
        say(f"would write {printable(mine.unit)}:")
        say(mine.text())
        return
    state = mine.install(home)
    say(f"timmyd runs for you: {printable(state.says) or state.active}")
    say(f"  it reads {printable(home)}; {_WEAKER}")
    say(f"  it publishes {printable(policy_path(Settings(), state_dir(os.environ)))}")
    if state.lingers is False:
        name = pwd.getpwuid(os.getuid()).pw_name
        say(f"  it stops when you log out; to let it go on: loginctl enable-linger {name}")
    if home.is_dir() and kit_status.status(home).kit is None:
        say("  so that Hermes records and obeys: timmyd hermes install")
    say("  what it does now: timmyd service status · what it did: journalctl --user -u timmyd")


def status(
    *, user: UserOption = False, system: SystemOption = False, as_json: JsonOption = False
) -> None:
    """Whether the service runs and what it says of itself; status 1 if it does not run."""
    state = _system_state() if _is_system(user=user, system=system) else UserService().state()
    if as_json:
        print_json(_as_dict(state))
    elif state.unit is None:
        say("timmyd is not installed as a service here; timmyd service install does it")
    else:
        say(f"{printable(state.unit)}: {state.active}{state.says and ': ' + printable(state.says)}")
        if state.lingers is False:
            say("  it stops when its user logs out (loginctl enable-linger lets it go on)")
    if state.trouble and not as_json:
        say(f"  {printable(state.trouble)}")
    if state.active != "active":
        raise typer.Exit(FAILED)


def uninstall(
    *,
    user: UserOption = False,
    system: SystemOption = False,
    purge: Annotated[
        bool,
        typer.Option("--purge", help="With --system: settings, state and the user timmyd, too."),
    ] = False,
) -> None:
    """Stop the service and remove it; settings and what was learned stay."""
    if _is_system(user=user, system=system):
        raise typer.Exit(_installer("--uninstall", *(["--purge"] if purge else [])))
    if purge:
        raise UsageError("--purge goes with --system; a user's state is a folder of their own")
    if not UserService().uninstall():
        say("timmyd is not installed as a service of this user")
        return
    say(f"the service is removed; what was learned stays in {printable(state_dir(os.environ))}")


def _is_system(*, user: bool, system: bool) -> bool:
    if user and system:
        raise UsageError("either --user or --system")
    if user and os.geteuid() == 0:
        raise UsageError(
            "root's is the machine's service; run this as the user whose agent it is to watch"
        )
    if system and os.geteuid() != 0:
        raise ServiceError(
            "only root can do that to the machine's service: sudo timmyd service … --system"
        )
    return os.geteuid() == 0


def _installer(*words: str) -> int:
    """Run the installer of the machine's service; its words go where ours would."""
    return subprocess.run(["/bin/sh", shipped(_INSTALLER), *words], check=False).returncode  # noqa: S603 - our own script


def _origin() -> str:
    """What pip installed this from: a wheel or a folder of this machine, else the version by its name."""
    try:
        told = distribution("timmyd").read_text("direct_url.json")
    except PackageNotFoundError:
        told = None
    url = urlsplit(str(json.loads(told)["url"])) if told else None
    path = Path(unquote(url.path)) if url is not None and url.scheme == "file" else None
    return str(path) if path is not None and path.exists() else f"timmyd=={__version__}"


def _system_state() -> ServiceState:
    status, said = run(
        ["systemctl", "show", _SYSTEM_UNIT, "-pActiveState", "-pStatusText", "-pFragmentPath"]
    )
    told = dict(line.partition("=")[::2] for line in said.splitlines())
    unit = told.get("FragmentPath")
    return ServiceState(
        Path(unit) if unit else None,
        told.get("ActiveState", "unknown"),
        told.get("StatusText", ""),
        None,
        "",
        "" if status == 0 else said,
    )


def _as_dict(state: ServiceState) -> dict[str, Any]:
    return {
        "unit": None if state.unit is None else str(state.unit),
        "active": state.active,
        "says": state.says or None,
        "lingers": state.lingers,
        "trouble": state.trouble or None,
    }
