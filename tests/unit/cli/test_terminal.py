"""How every command behaves where its output goes: help, widths, colours, a full disk, a reader that leaves."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.conftest import Command
from timmyd import __version__
from timmyd.cli.app import MODULES, build
from timmyd.cli.run_words import LISTS, PATHS, SWITCHES, RunWords, quick

NAMES = [name for commands in MODULES.values() for name in commands]


def program(
    *words: object, stdout: Any = subprocess.PIPE, **environment: str
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "timmyd", *map(str, words)],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        env={**os.environ, **environment},
        timeout=120,
    )


@pytest.mark.parametrize("name", NAMES)
def test_h_is_help_everywhere(timmyd: Command, name: str) -> None:
    short, long = timmyd(name, "-h"), timmyd(name, "--help")

    assert (short.status, short.out) == (0, long.out)
    assert short.out.startswith(f"Usage: timmyd {name} ")


def test_the_version_is_an_option_too(timmyd: Command) -> None:
    assert timmyd("--version").out == f"timmyd {__version__}\n" == timmyd("version").out


def test_completion_is_offered_and_knows_the_commands(timmyd: Command) -> None:
    help_ = timmyd("-h").out
    assert "--install-completion" in help_
    assert "--show-completion" in help_
    done = program(_TIMMYD_COMPLETE="complete_bash", COMP_WORDS="timmyd re", COMP_CWORD="1")

    assert set(done.stdout.split()) == {name for name in NAMES if name.startswith("re")}


def test_the_script_of_the_completion_is_shown() -> None:
    shown = program(_TIMMYD_COMPLETE="source_bash")

    assert "COMP_WORDS" in shown.stdout


def test_the_quick_way_of_run_knows_what_its_parser_knows() -> None:
    import typer.main

    command = typer.main.get_command(build("run")).commands["run"]  # type: ignore[attr-defined]
    options = {
        param.opts[0].removeprefix("--"): (param.is_flag, param.multiple)
        for param in command.params
        if "--help" not in param.opts
    }

    assert options == {
        **dict.fromkeys(SWITCHES, (True, False)),
        **dict.fromkeys(LISTS, (False, True)),
        **dict.fromkeys(PATHS, (False, False)),
    }


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ([], RunWords()),
        (["--once", "--json"], RunWords(once=True, json=True)),
        (["--home", "a", "--home=b=c"], RunWords(home=("a", "b=c"))),
        (["--state", "s", "--config=c"], RunWords(state=Path("s"), config=Path("c"))),
        (["--home"], None),
        (["--home", "--once"], None),
        (["--once=1"], None),
        (["-h"], None),
        (["more"], None),
        (["--onc"], None),
    ],
)
def test_the_quick_way_takes_only_what_is_right(words: list[str], found: RunWords | None) -> None:
    assert quick(words) == found


@pytest.mark.parametrize("words", [["--onc"], ["--home"], ["more"], ["--state"]], ids=str)
def test_wrong_words_of_run_are_refused_as_everywhere(timmyd: Command, words: list[str]) -> None:
    done = timmyd("run", *words)

    assert done.status == 2
    assert "Error: " in done.err


PRINTING = [
    ("report",), ("status",), ("check",), ("events",), ("report", "--json"), ("policy", "history"),
    ("breaker", "list"), ("explain", "ezra.evidence_threshold"), ("db", "check"),
]  # fmt: skip


@pytest.mark.parametrize("words", [*PRINTING, ("run", "--once")], ids=" ".join)
def test_a_full_disk_is_one_line_and_status_1(state: Path, words: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        done = program(*words, "--state", state, stdout=full)

    assert done.returncode == 1
    assert [line for line in done.stderr.splitlines() if not line.startswith("{")] == [
        "timmyd: cannot write: No space left on device"
    ]


@pytest.mark.parametrize("words", [("--help",), ("run", "-h"), ("version",)], ids=" ".join)
def test_so_it_is_for_help(words: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        done = program(*words, stdout=full)

    assert (done.returncode, done.stderr) == (1, "timmyd: cannot write: No space left on device\n")


@pytest.mark.parametrize("words", [*PRINTING, ("schema", "config")], ids=" ".join)
def test_a_reader_that_leaves_is_no_noise(state: Path, words: tuple[str, ...]) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as pipe:
        place = () if words[0] == "schema" else ("--state", state)
        done = program(*words, *place, stdout=pipe)

    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("words", PRINTING, ids=" ".join)
def test_a_terminal_that_knows_only_ascii_gets_only_that(
    state: Path, words: tuple[str, ...]
) -> None:
    done = program(*words, "--state", state, PYTHONIOENCODING="ascii", PYTHONUTF8="0")

    assert done.returncode in {0, 1}
    assert "Traceback" not in done.stderr
    assert done.stdout.isascii()
    assert "\\u2026" not in done.stdout
    assert "\\u2013" not in done.stdout


@pytest.mark.parametrize("columns", [40, 60, 80, 132])
@pytest.mark.parametrize("command", ["report", "status"])
def test_columns_is_obeyed_and_numbers_stay_whole(state: Path, command: str, columns: int) -> None:
    narrow = program(command, "--state", state, COLUMNS=str(columns)).stdout

    longest_word = max(map(len, narrow.split()))
    assert max(map(len, narrow.splitlines())) <= max(columns, longest_word + 4)
    if command == "report":
        assert re.search(r"^ +ezra +30 +90 %", narrow, re.MULTILINE)
        assert ("0 to 100 %" in narrow) == (columns >= 80)


def test_no_colour_where_it_is_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    from timmyd.cli import output

    monkeypatch.setattr(output, "is_terminal", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")

    assert output.console().no_color
