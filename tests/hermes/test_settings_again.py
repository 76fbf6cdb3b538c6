"""Hermes writes its settings again as it likes; the kit stays enabled, and comes out without a trace."""

from typing import Any

import pytest

from tests.hermes.support.agent import HermesAgent
from tests.hermes.support.environment import HERMES_019
from tests.hermes.support.kit import install_kit
from timmyd.service.hermes_kit import uninstall
from timmyd.service.kit_status import status

PLUGINS: tuple[dict[str, Any] | None, ...] = (None, {}, {"enabled": []}, {"enabled": ["a", "zoo"]})


@pytest.mark.parametrize("plugins", PLUGINS, ids=str)
def test_what_hermes_wrote_again_is_right_with_the_kit_and_without_it(
    hermes: HermesAgent, plugins: dict[str, Any] | None
) -> None:
    home = hermes.home
    config = {key: value for key, value in home.config().items() if key != "plugins"}
    home.config_file.unlink()
    home.configure({**config, "note": "plugins:\n  enabled: no\n", "long": "some words " * 30})
    if plugins is not None:
        home.configure({"plugins": plugins})
    install_kit(home)
    hermes.command("config", "set", "agent.max_turns", "12")
    if hermes.version == HERMES_019:  # later ones ask the network first
        hermes.command("plugins", "disable", "timmy")
        assert status(home.path).enabled is False
        hermes.command("plugins", "enable", "timmy", "--no-allow-tool-override")
    again = home.config()
    assert status(home.path).enabled
    uninstall(home.path)

    after = home.config()
    left = after.pop("plugins", None) or {}
    assert "timmy" not in left.get("enabled", [])
    assert left.get("enabled", []) == sorted((plugins or {}).get("enabled", []))
    assert after == {key: value for key, value in again.items() if key != "plugins"}
    assert after["agent"]["max_turns"] == 12
    assert not (home.path / "plugins" / "timmy").exists()
