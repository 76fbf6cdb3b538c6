"""A server with timmyd installed from a fresh copy of this checkout, in a box with a real systemd.

Where no box can be booted these tests are skipped with the reason.
"""

import hashlib
import os
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system.box import why_not
from tests.system.server import PYTHON, Server

CHECKOUT = Path(__file__).resolve().parents[2]


_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(_HERE) and item.path.name != "test_unit_files.py":
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def bootable() -> None:
    """A box can be booted here."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture(scope="session")
def needs_tool() -> Callable[[str, str], str]:
    """The path of a tool, or a skip."""

    def path_of(tool: str, package: str) -> str:
        found = shutil.which(tool)
        if found is None:
            pytest.skip(f"{tool} is missing (apt-get install {package})")
        assert found is not None
        return found

    return path_of


@pytest.fixture(scope="session")
def fresh_copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a fresh clone of this checkout would hold, with what is not committed yet."""
    copy = tmp_path_factory.mktemp("clone")
    copy.chmod(0o755)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=CHECKOUT,
        capture_output=True,
        check=True,
    )
    for name in listed.stdout.decode().split("\0"):
        if name and (CHECKOUT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, copy / name)
    return copy


@pytest.fixture(scope="session")
def wheels(bootable: None, request: pytest.FixtureRequest) -> Path:  # noqa: ARG001
    """The packages that the installer fetches, for a box without a network; kept between runs."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    needed = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    name = hashlib.sha256("\0".join(needed).encode()).hexdigest()[:16]
    folder = Path(request.config.cache.mkdir(f"timmyd-wheels-{name}"))
    if (folder / "complete").exists():
        return folder
    environment = folder / "venv"
    try:
        subprocess.run([PYTHON, "-m", "venv", environment], check=True, capture_output=True)
        subprocess.run(
            [environment / "bin/pip", "wheel", "--quiet", "--wheel-dir", folder, *needed],
            check=True,
            capture_output=True,
            text=True,
        )
    except (OSError, subprocess.CalledProcessError) as exc:
        pytest.skip(f"the packages cannot be fetched: {getattr(exc, 'stderr', exc)}")
    shutil.rmtree(environment)
    (folder / "complete").touch()
    return folder


MakeServer = Callable[..., Server]
"""Makes a box of this name that is not booted yet; pairs are what else is bound there, and where."""


@pytest.fixture(scope="session")
def make_server(
    bootable: None,  # noqa: ARG001
    fresh_copy: Path,
    wheels: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> MakeServer:
    """Makes a box that is not booted yet."""

    def make(name: str, *binds: tuple[Path, str], logins: bool = False) -> Server:
        folder = tmp_path_factory.mktemp("box")
        all_binds = ((fresh_copy, "/src"), (wheels, "/wheels"), *binds)
        return Server(folder, name, binds=all_binds, logins=logins)

    return make


@pytest.fixture(scope="module")
def server(
    request: pytest.FixtureRequest, make_server: Callable[[str], Server]
) -> Iterator[Server]:
    """A server with timmyd installed, and alice and bob enrolled; one for each file of tests."""
    name = request.module.__name__.rsplit("_", 1)[-1][:8]
    with make_server(f"{name}-{os.getpid()}") as there:
        there.add_users()
        there.install().check()
        there.timmyd("enrol", "alice", "--house", "ezra").check()
        there.timmyd("enrol", "bob").check()
        yield there
