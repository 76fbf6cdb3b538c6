"""What the README says is so: its commands exist, its examples run, its settings are right."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from timmyd.cli.app import MODULES, build
from timmyd.config import load, parse, sample

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SUBCOMMANDS = {
    "policy": ("show", "history", "rollback", "pin", "unpin"),
    "breaker": ("list", "force", "clear"),
    "house": ("list", "quarantine", "release", "forget"),
    "hermes": ("install", "status", "uninstall"),
    "db": ("check", "backup", "restore"),
    "budget": ("show", "set", "raise"),
    "notify": ("test", "run"),
    "schema": ("config", "policy", "telemetry"),
    "service": ("install", "status", "uninstall"),
}
SHELL = [
    line.strip()
    for file in ("README.md", "systemd/README.md")
    for line in (ROOT / file).read_text("utf-8").splitlines()
    if line.startswith("    ") and "timmyd " in line and not line.startswith("    python3")
]
"""The examples for a shell in both, each a line."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def table_of_commands() -> str:
    return README.partition("## Commands")[2].partition("\n## ")[0]


@pytest.mark.parametrize("name", [name for names in MODULES.values() for name in names])
def test_every_command_stands_in_the_readme(name: str) -> None:
    table = table_of_commands()

    assert re.search(rf"`(timmyd )?{name}[ `]", table), name
    for sub in SUBCOMMANDS.get(name, ()):
        assert f"{name} {sub}" in table, f"{name} {sub}"


def test_the_two_commands_stand_alone_on_their_lines_in_order() -> None:
    lines = [line for line in README.splitlines() if line.startswith("    python3 -m venv ")]

    assert len(lines) == 2
    first, second = lines
    assert first.endswith(".venv/bin/timmyd report")
    assert "pytest" not in first
    assert "-m pytest" in second
    assert [line for line in lines if re.fullmatch(r"    python3 -m venv .*pytest.*", line)] == [
        second
    ]


def commands_of(line: str) -> list[list[str]]:
    """The commands of timmyd in a line of shell, each as its words after `timmyd`."""
    found = []
    for part in re.split(r"&&|;|\|", line.partition(" #")[0]):
        words = shlex.split(part)
        if "timmyd" in words and words[: words.index("timmyd")] in ([], ["sudo"]):
            found.append(words[words.index("timmyd") + 1 :])
    return found


@pytest.mark.parametrize("line", SHELL)
def test_an_example_for_a_shell_is_a_command_with_options_that_there_are(line: str) -> None:
    for words in commands_of(line):
        depth = 2 if words[0] in SUBCOMMANDS else 1
        asked = CliRunner().invoke(
            build(words[0]), [*words[:depth], "--help"], env={"COLUMNS": "200"}
        )
        assert asked.exit_code == 0, asked.output
        for option in (word for word in words if word.startswith("-")):
            assert option in asked.output, f"{option} of {line}"


@pytest.mark.slow
@pytest.mark.parametrize("code", blocks("python"))
def test_the_examples_in_python_run(code: str, tmp_path: Path) -> None:
    places = {name: str(tmp_path) for name in ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME")}
    environment = {**os.environ, **places, "PYTHONPATH": str(ROOT)}

    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=environment,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize("text", blocks("toml"))
def test_the_examples_of_settings_are_right(text: str) -> None:
    assert parse(text, "README.md").houses


def test_the_sample_settings_are_right_and_are_those_of_the_program() -> None:
    file = ROOT / "config" / "timmyd.toml"

    load([file])
    assert file.read_text(encoding="utf-8") == sample()


def test_every_link_of_the_readme_leads_to_a_file() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_readme_names_no_place_of_any_one_machine() -> None:
    assert not re.search(r"/work/|/root/|/tmp/|pypi\.org|index-url", README)


def test_the_map_shows_every_room_and_no_file_that_is_not_there() -> None:
    text = (ROOT / "timmyd" / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z_]+/[a-z_/]*(?:\.py)?)`", text))
    rooms = {f"{path.parent.name}/" for path in (ROOT / "timmyd").glob("*/__init__.py")}

    assert rooms <= named
    for place in named - {"tests/architecture"}:
        assert (ROOT / "timmyd" / place).exists(), place
