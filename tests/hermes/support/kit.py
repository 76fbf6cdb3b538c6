"""The house kit in a test's Hermes home, and what it recorded there."""

import json
from pathlib import Path
from typing import Any

from tests.hermes.support.home import HermesHome
from timmyd.clock import now
from timmyd.service.hermes_kit import install, plan_install


def install_kit(home: HermesHome, *, house: str | None = None, mode: str | None = None) -> None:
    """Install the kit as `timmyd hermes install` does."""
    install(plan_install(home.path, house=house, mode=mode), now=now())


def telemetry(home: Path) -> list[dict[str, Any]]:
    """All lines of all sessions without their headers, in order of time, each with its `session`."""
    found: list[dict[str, Any]] = []
    for path in sorted((home / "sessions" / "timmy").glob("*.jsonl")):
        sessions: dict[str, str] = {}
        for text in path.read_text("utf-8").splitlines():
            line = json.loads(text)
            if "schema" in line:
                sessions[line["run"]] = line["session_id"]
            else:
                found.append({**line, "session": sessions[line["run"]]})
    return sorted(found, key=lambda line: float(line["at"]))


def tool_lines(home: Path) -> list[dict[str, Any]]:
    """The lines of tool calls."""
    return [line for line in telemetry(home) if line["kind"] == "tool"]


def headers(home: Path) -> list[dict[str, Any]]:
    """The header lines of all files."""
    lines = [
        json.loads(text)
        for path in sorted((home / "sessions" / "timmy").glob("*.jsonl"))
        for text in path.read_text("utf-8").splitlines()
    ]
    return [line for line in lines if "schema" in line]
