"""timmyd as a service of one user: a unit of systemd's user manager that reads this user's Hermes home."""

import os
import pwd
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from timmyd.config import load
from timmyd.config.places import SERVICE_FOLDER, default_paths
from timmyd.errors import ConfigError, TimmyError
from timmyd.service.publish import publish
from timmyd.service.shipped import shipped

UNIT: Final = "timmyd.service"
_TEMPLATE: Final = "systemd/timmyd-user.service"
_PYTHON: Final = "@PYTHON@"
_LINGERING: Final = Path("/var/lib/systemd/linger")
_WRONG_SETTINGS: Final = 78

Run = Callable[[Sequence[str]], tuple[int, str]]


class ServiceError(TimmyError):
    """The service cannot be installed, or does not start; says what to do."""


def run(argv: Sequence[str]) -> tuple[int, str]:
    """Run a command; its status, and what it said."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)  # noqa: S603 - our words
    except FileNotFoundError:
        return 127, f"{argv[0]} is missing"
    return done.returncode, (done.stdout + done.stderr).strip()


@dataclass(frozen=True, slots=True)
class ServiceState:
    """How the service of a user stands.

    Attributes:
        unit: Where its unit file is; None where there is none.
        active: systemd's word: active, inactive, failed, …
        says: What the daemon last said of itself.
        lingers: Whether it runs while the user is not logged in; None where nobody tells.
        python: The interpreter that the unit names.
        trouble: What keeps it from working; empty for nothing.
    """

    unit: Path | None
    active: str
    says: str
    lingers: bool | None
    python: str
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class UserService:
    """The unit of this user.

    Attributes:
        environment: Of the user's session.
        command: Runs systemctl.
        python: The interpreter that has timmyd.
        service_settings: Where those of the system's service are, whose homes are left to it.
        lingering: Where logind marks who lingers.
    """

    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    command: Run = run
    python: str = sys.executable
    service_settings: Path = SERVICE_FOLDER
    lingering: Path = _LINGERING

    @property
    def unit(self) -> Path:
        """Where the user's own unit files are."""
        named = self.environment.get("XDG_CONFIG_HOME", "")
        home = Path(self.environment.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir)
        config = Path(named) if named.startswith("/") else home / ".config"
        return config / "systemd" / "user" / UNIT

    def text(self) -> str:
        """The unit file."""
        return shipped(_TEMPLATE).read_text("utf-8").replace(_PYTHON, self.python)

    def install(self, home: Path) -> ServiceState:
        """Place the unit, enable it, start it, and wait until it is ready; again: bring it up to date.

        Args:
            home: The Hermes home that it will read.

        Raises:
            ServiceError: It is not for this user, or does not start; then all is as it was before.
        """
        self._check(home)
        before = self.unit.read_bytes() if self.unit.exists() else None
        self.unit.parent.mkdir(parents=True, exist_ok=True)
        publish(self.text().encode(), self.unit)
        for words in (["daemon-reload"], ["enable", "--quiet", UNIT], ["restart", UNIT]):
            status, said = self._systemctl(*words)
            if status:
                self._put_back(before)
                text = f"the service does not start: {said}\n  journalctl --user -u {UNIT} says why; nothing is installed"
                raise ServiceError(text)
        return self.state()

    def uninstall(self) -> bool:
        """Stop it and remove the unit; settings and what was learned stay. False: it was not there."""
        if not self.unit.exists():
            return False
        self._systemctl("disable", "--quiet", "--now", UNIT)
        self.unit.unlink()
        self._systemctl("daemon-reload")
        self._systemctl("reset-failed", UNIT)
        return True

    def state(self) -> ServiceState:
        """How it stands now."""
        there = self.unit.exists()
        wanted = ("ActiveState", "StatusText")
        status, said = self._systemctl("show", UNIT, *(f"-p{name}" for name in wanted))
        told = dict(line.partition("=")[::2] for line in said.splitlines() if "=" in line)
        python, trouble = self._python() if there else ("", "")
        return ServiceState(
            self.unit if there else None,
            told.get("ActiveState", "unknown") if status == 0 else "unknown",
            told.get("StatusText", ""),
            self._lingers(),
            python,
            trouble or ("" if status == 0 else f"systemd's user manager does not answer: {said}"),
        )

    def _check(self, home: Path) -> None:
        status, said = self._systemctl("show-environment")
        if status:
            text = (
                f"systemd's user manager does not answer ({said}): log in as this user, not by su or sudo "
                f"(machinectl shell USER@ does), and try again"
            )
            raise ServiceError(text)
        for other in self._read_by_the_system():
            if other.exists() and home.exists() and other.samefile(home):
                text = (
                    f"{home} is read by the system's service already; two would judge the same calls. Leave it to "
                    f"that one, or let its operator run: timmyd unenrol {pwd.getpwuid(os.getuid()).pw_name}"
                )
                raise ServiceError(text)
        status, said = self.command([self.python, "-P", "-m", "timmyd", "check", "--settings"])
        if status == _WRONG_SETTINGS:
            text = f"the settings are wrong:\n{said}"
            raise ServiceError(text)

    def _read_by_the_system(self) -> list[Path]:
        try:
            settings = load(default_paths({}, service=True, folder=self.service_settings))
        except ConfigError:
            return []
        return [house.home for house in settings.houses if house.home is not None]

    def _put_back(self, before: bytes | None) -> None:
        if before is None:
            self.uninstall()
            return
        publish(before, self.unit)
        self._systemctl("daemon-reload")
        self._systemctl("restart", UNIT)

    def _python(self) -> tuple[str, str]:
        """The interpreter of the unit that is there, and what is wrong with it."""
        lines = self.unit.read_text("utf-8", "replace").splitlines()
        start = next((line for line in lines if line.startswith("ExecStart=")), "")
        python = start.removeprefix("ExecStart=").partition(" ")[0]
        if not Path(python).exists():
            return python, f"{python} is gone: run timmyd service install from where timmyd is now"
        return python, ""

    def _lingers(self) -> bool | None:
        """By logind's own mark, which is there for a user who may run without being logged in."""
        try:
            return (self.lingering / pwd.getpwuid(os.getuid()).pw_name).exists()
        except (KeyError, OSError):
            return None

    def _systemctl(self, *words: str) -> tuple[int, str]:
        return self.command(["systemctl", "--user", *words])
