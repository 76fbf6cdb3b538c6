"""Real Hermes agents as fixtures; where they cannot be installed their tests are skipped."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.hermes.support.agent import HermesAgent
from tests.hermes.support.environment import (
    HERMES_019,
    HERMES_022,
    HermesUnavailableError,
    hermes_environment,
)
from tests.hermes.support.model_server import ModelServer

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.hermes)
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def hermes_installed() -> Callable[[str], Path]:
    """Gives the environment of a version, or skips."""
    unavailable: dict[str, HermesUnavailableError] = {}

    def installed(version: str) -> Path:
        if version not in unavailable:
            try:
                return hermes_environment(version)
            except HermesUnavailableError as error:
                unavailable[version] = error
        reason = str(unavailable[version])
        pytest.skip(reason)

    return installed


@pytest.fixture
def model_server() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture
def hermes_019(
    tmp_path: Path, model_server: ModelServer, hermes_installed: Callable[[str], Path]
) -> HermesAgent:
    """The last line that writes snapshots, with snapshots on."""
    hermes_installed(HERMES_019)
    return HermesAgent(HERMES_019, tmp_path / "hermes-019", model_server)


@pytest.fixture
def hermes_022(
    tmp_path: Path, model_server: ModelServer, hermes_installed: Callable[[str], Path]
) -> HermesAgent:
    """A line that writes no snapshots whatever its settings say."""
    hermes_installed(HERMES_022)
    return HermesAgent(HERMES_022, tmp_path / "hermes-022", model_server)


@pytest.fixture(params=[HERMES_019, HERMES_022])
def hermes(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    model_server: ModelServer,
    hermes_installed: Callable[[str], Path],
) -> HermesAgent:
    """Each supported line in turn."""
    version: str = request.param
    hermes_installed(version)
    return HermesAgent(version, tmp_path / "hermes", model_server)
