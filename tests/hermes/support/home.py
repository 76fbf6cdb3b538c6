"""A Hermes home made for a test: its settings, its plugins, and what the agent left in it."""

import json
import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

_PLUGINS = Path(__file__).parent / "plugins"


class HermesHome:
    """The files of one Hermes home below a folder of the test's own.

    Attributes:
        user_home: what HOME is for the agent.
        path: the Hermes home, `<user_home>/hermes`. Not `.hermes`: newer lines refuse to open the
            database of a user's own home for a process that a test run started.
        work: the agent's working directory, `<user_home>/work`.
    """

    def __init__(self, user_home: Path) -> None:
        self.user_home = user_home
        self.path = user_home / "hermes"
        self.work = user_home / "work"
        self.path.mkdir(parents=True, exist_ok=True)
        self.work.mkdir(exist_ok=True)

    @property
    def config_file(self) -> Path:
        """The agent's settings."""
        return self.path / "config.yaml"

    @property
    def sessions_dir(self) -> Path:
        """Where Hermes of the older lines leaves snapshots."""
        return self.path / "sessions"

    @property
    def state_db(self) -> Path:
        """Hermes' own database."""
        return self.path / "state.db"

    @property
    def truth_file(self) -> Path:
        """What the `truth` plugin wrote."""
        return self.path / "truth.jsonl"

    def config(self) -> dict[str, Any]:
        """The settings as they are on disk now; empty when there are none."""
        if not self.config_file.exists():
            return {}
        loaded: dict[str, Any] = YAML(typ="safe").load(self.config_file.read_text("utf-8")) or {}
        return loaded

    def configure(self, changes: Mapping[str, Any]) -> None:
        """Merge these settings into the file: mappings key by key, anything else replaced."""
        yaml = YAML(typ="safe")
        yaml.default_flow_style = False
        merged = _merged(self.config(), changes)
        with self.config_file.open("w", encoding="utf-8") as file:
            yaml.dump(merged, file)

    def install_plugin(self, folder: Path, name: str) -> Path:
        """Copy a plugin's folder in under this name and enable it.

        Returns:
            The folder that Hermes loads.
        """
        target = self.path / "plugins" / name
        shutil.copytree(folder, target, ignore=shutil.ignore_patterns("__pycache__"))
        enabled = list(self.config().get("plugins", {}).get("enabled", []))
        if name not in enabled:
            self.configure({"plugins": {"enabled": [*enabled, name]}})
        return target

    def record_truth(self) -> None:
        """Install the `truth` plugin, which writes down what Hermes tells its observers."""
        self.install_plugin(_PLUGINS / "truth", "truth")

    def truth(self, hook: str = "post_tool_call") -> list[dict[str, Any]]:
        """What observers of this hook were given, in order; `at` is when, Unix seconds."""
        if not self.truth_file.exists():
            return []
        lines = self.truth_file.read_text("utf-8").splitlines()
        return [record for record in map(json.loads, lines) if record["hook"] == hook]

    def snapshots(self) -> dict[str, dict[str, Any]]:
        """The snapshots by session id; empty on Hermes lines that write none."""
        found = {}
        for path in sorted(self.sessions_dir.glob("session_*.json")):
            document = json.loads(path.read_text("utf-8"))
            found[document["session_id"]] = document
        return found

    def sessions(self) -> list[dict[str, Any]]:
        """The rows of all sessions in the database, oldest first."""
        return self._rows("SELECT * FROM sessions ORDER BY started_at")

    def tool_rows(self, session_id: str) -> list[dict[str, Any]]:
        """The rows of the session's tool results in the database, in order of execution."""
        return self._rows(
            "SELECT * FROM messages WHERE session_id = ? AND role = 'tool' ORDER BY id", session_id
        )

    def _rows(self, query: str, *values: str) -> list[dict[str, Any]]:
        address = f"file:{self.state_db}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=10)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query, values)]


def _merged(old: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(old)
    for key, value in changes.items():
        before = merged.get(key)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            merged[key] = _merged(before, value)
        else:
            merged[key] = value
    return merged
