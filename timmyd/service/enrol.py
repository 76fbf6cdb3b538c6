"""Which users' Hermes homes the service may read: `timmyd enrol`, `unenrol`, `enrolled`.

An enrolment is one settings file, `conf.d/enrolled-USER.toml`: the daemon reads the house in it, and
the rebind helper shows the daemon the home. The service learns of it while it runs, by a reload.
"""

import json
import os
import pwd
import re
import subprocess
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from timmyd.errors import TimmyError
from timmyd.service.files import open_home
from timmyd.service.refusal import FileRefusedError, Reason

SERVICE: Final = "timmyd.service"
REBIND: Final = "timmyd-rebind.service"
SETTINGS: Final = Path("/etc/timmyd")

_PREFIX, _SUFFIX = "enrolled-", ".toml"
_USER: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}")
_HOUSE: Final = re.compile(r"[a-z0-9_-]{1,32}")
_HOUSE_MOST: Final = 32
_NOT_IN: Final = ("/tmp", "/var/tmp", "/var/lib/timmyd", "/dev", "/proc", "/sys")  # noqa: S108
"""Where the service itself can write; the rebind helper mounts nothing in there."""

_FILE_MODE: Final = 0o644
_FOLDER_MODE: Final = 0o755


class EnrolError(TimmyError):
    """An enrolment that cannot be made or taken back; the operator must act."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        self.hint = hint
        super().__init__(message if hint is None else f"{message}\n  hint: {hint}")


@dataclass(frozen=True, slots=True)
class Enrolment:
    """One enrolled user.

    Attributes:
        user: The user's name.
        house: The house that the executions of this home belong to.
        home: The Hermes home; it need not exist yet.
        seen: Whether the running service sees the home; None if it does not run.
        problem: Why it does not, in words; None if all is well or the home is not there yet.
        changed: Whether this call changed anything.
    """

    user: str
    house: str
    home: Path
    seen: bool | None = None
    problem: str | None = None
    changed: bool = False


def _command(argv: Sequence[str]) -> tuple[int, str]:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)  # noqa: S603 - fixed words
    return done.returncode, (done.stdout or done.stderr).strip()


@dataclass(frozen=True, slots=True)
class Host:
    """What enrolling touches on a machine; tests give another one."""

    settings: Path = SETTINGS
    account: Callable[[str], pwd.struct_passwd] = pwd.getpwnam
    command: Callable[[Sequence[str]], tuple[int, str]] = _command
    uid: Callable[[], int] = field(default=os.geteuid)
    proc: Path = Path("/proc")
    not_in: tuple[str, ...] = _NOT_IN

    @property
    def folder(self) -> Path:
        """Where enrolments are kept."""
        return self.settings / "conf.d"


THIS_HOST: Final = Host()


def enrol(
    user: str, *, house: str | None = None, home: Path | None = None, host: Host = THIS_HOST
) -> Enrolment:
    """Let the service read the Hermes home of `user`, at once if it runs, and after every boot.

    Doing it again with another house or home replaces the enrolment.

    Args:
        user: A user of this machine.
        house: The house's name; by default the user's, made to fit.
        home: The Hermes home, by default `.hermes` in the user's home; it may appear later.
        host: The machine.

    Raises:
        EnrolError: Not root, no such user, a house that is taken or no name, a home that is not
            the user's.
    """
    account = _account(user, host)
    house = house_of(user) if house is None else house
    if not _HOUSE.fullmatch(house):
        text = f"{house!r} is no name of a house: 1 to 32 of a-z 0-9 _ -"
        raise EnrolError(text)
    for other in _read(host):
        if other.house == house and other.user != user:
            text = f"house {house!r} is already the house of {other.user}"
            raise EnrolError(text, hint=f"timmyd enrol {user} --house NAME")
    home = Path(account.pw_dir) / ".hermes" if home is None else home
    _check_home(home, account, host)
    wanted = _text(user, house, home)
    file = _file(user, host)
    before = file.read_text(encoding="utf-8") if file.exists() else None
    if before != wanted:
        _write(file, wanted)
    _tell(host)
    return _look(Enrolment(user, house, home, changed=before != wanted), host)


def unenrol(user: str, *, host: Host = THIS_HOST) -> Enrolment:
    """Take the home of `user` out of the service's sight; what was learnt from it stays.

    The user need not exist any more.

    Raises:
        EnrolError: Not root, or not enrolled.
    """
    _check_root(host)
    known = {enrolment.user: enrolment for enrolment in _read(host)}
    if user not in known:
        text = f"{user!r} is not enrolled"
        raise EnrolError(text, hint="timmyd enrolled lists who is")
    _file(user, host).unlink()
    _tell(host)
    gone = known[user]
    return Enrolment(user, gone.house, gone.home, seen=None, changed=True)


def enrolled(*, host: Host = THIS_HOST) -> list[Enrolment]:
    """Every enrolled user, by name, and whether the running service sees their home.

    Raises:
        EnrolError: Not root: nobody else can look into the service.
    """
    _check_root(host)
    return [_look(enrolment, host) for enrolment in _read(host)]


def house_of(user: str) -> str:
    """The name of a house made from the name of a user."""
    return re.sub(r"[^a-z0-9_-]", "_", user.lower())[:_HOUSE_MOST]


def _check_root(host: Host) -> None:
    if host.uid() != 0:
        text = "only root may say whose home the service reads"
        raise EnrolError(text, hint="run it with sudo")


def _account(user: str, host: Host) -> pwd.struct_passwd:
    _check_root(host)
    if not _USER.fullmatch(user):
        text = f"{user!r} is no name of a user"
        raise EnrolError(text)
    try:
        return host.account(user)
    except KeyError:
        text = f"there is no user {user!r} on this machine"
        raise EnrolError(text) from None


def _check_home(home: Path, account: pwd.struct_passwd, host: Host) -> None:
    if not home.is_absolute() or Path(os.path.normpath(home)) != home or home == Path("/"):
        text = f"{str(home)!r} is no plain absolute path"
        raise EnrolError(text)
    if any(home.is_relative_to(top) for top in host.not_in):
        text = f"{home} lies where the service itself can write, and would not be shown to it"
        raise EnrolError(text, hint="move the home, or name another one with --home")
    try:
        with open_home(home) as directory:
            owner = directory.owner_uid
    except FileRefusedError as refusal:
        if refusal.reason is Reason.VANISHED:
            return  # it may appear later
        text = f"{home} {refusal.reason.words}"
        raise EnrolError(text) from refusal
    if owner != account.pw_uid:
        text = f"{home} does not belong to {account.pw_name}"
        raise EnrolError(text, hint="enrol the user that the directory belongs to")


def _file(user: str, host: Host) -> Path:
    return host.folder / f"{_PREFIX}{user}{_SUFFIX}"


def _text(user: str, house: str, home: Path) -> str:
    quoted = json.dumps(str(home), ensure_ascii=False)
    return (
        f"# Written by `timmyd enrol {user}`, removed by `timmyd unenrol {user}`.\n"
        f'[[houses]]\nname = "{house}"\nhome = {quoted}\n'
    )


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.new")
    temporary.write_text(text, encoding="utf-8")
    temporary.chmod(_FILE_MODE)
    temporary.rename(file)


def _read(host: Host) -> list[Enrolment]:
    found: list[Enrolment] = []
    for file in sorted(host.folder.glob(f"{_PREFIX}*{_SUFFIX}")):
        user = file.name.removeprefix(_PREFIX).removesuffix(_SUFFIX)
        try:
            table = tomllib.loads(file.read_text(encoding="utf-8"))["houses"][0]
            found.append(Enrolment(user, str(table["name"]), Path(table["home"])))
        except (OSError, ValueError, KeyError, IndexError, TypeError):
            problem = f"{file} does not name one house and its home; enrol {user} again"
            found.append(Enrolment(user, "", Path(), problem=problem))
    return found


def _tell(host: Host) -> None:
    """The home first, then the settings: so that the daemon finds what it is told of."""
    running, _ = host.command(["systemctl", "is-active", "--quiet", SERVICE])
    if running == 0:
        host.command(["systemctl", "start", REBIND])
        host.command(["systemctl", "reload", SERVICE])


def _look(enrolment: Enrolment, host: Host) -> Enrolment:
    """Compare what the service sees with what is there."""
    if enrolment.problem is not None:
        return enrolment
    _, said = host.command(["systemctl", "show", "-P", "MainPID", SERVICE])
    pid = int(said) if said.isdigit() else 0
    if pid == 0:
        return enrolment
    problem: str | None = None
    seen = False
    try:
        with open_home(enrolment.home) as directory:
            shown = (host.proc / str(pid) / "root" / enrolment.home.relative_to("/")).stat()
            seen = (shown.st_dev, shown.st_ino) == directory.identity
    except FileRefusedError as refusal:
        problem = None if refusal.reason is Reason.VANISHED else refusal.reason.words
    except OSError:
        problem = f"the service does not see it: journalctl -u {REBIND} says why"
    return Enrolment(
        enrolment.user, enrolment.house, enrolment.home, seen, problem, enrolment.changed
    )
