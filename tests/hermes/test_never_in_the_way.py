"""Never in the way: whatever breaks in the kit, the agent answers and calls as if it were not there.

What breaks while calls run (hooks, functions, the disk) is tried in `test_many_sessions`.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hermes.support.agent import HermesAgent
from tests.hermes.support.kit import install_kit, tool_lines
from tests.hermes.support.script import Step, ToolCall, call, calls, say
from timmyd.house.policy import LARGEST_BYTES

Told = tuple[str, list[tuple[str, str]]]

_plain: dict[str, Told] = {}


def _steps() -> list[Step]:
    return [
        call("terminal", command="echo fine"),
        call("terminal", command="exit 3"),
        call("no_such_tool", x=1),
        calls(ToolCall("read_file", {"path": "a.txt"}), ToolCall("read_file", {"path": "no.txt"})),
        call("write_file", path="new.txt", content="hi"),
        lambda request: say(f"{len(request.tool_results)} results"),
    ]


def _turn(agent: HermesAgent) -> Told:
    """What the agent said, and what its tools answered."""
    (agent.home.work / "a.txt").write_text("this is a\n")
    (agent.home.work / "new.txt").unlink(missing_ok=True)
    turn = agent.run_turn(agent.server.turn(*_steps()))
    assert turn.exit_code == 0, turn.stderr
    rows = agent.home.tool_rows(turn.session)
    place = str(agent.home.user_home)
    return turn.stdout, [
        (str(row["tool_name"]), str(row["content"]).replace(place, "HOME")) for row in rows
    ]


def _without(agent: HermesAgent) -> Told:
    """The same turn without the kit, once for each version."""
    if agent.version not in _plain:
        user_home = agent.home.user_home.with_name("plain")
        _plain[agent.version] = _turn(HermesAgent(agent.version, user_home, agent.server))
    return _plain[agent.version]


def _append(agent: HermesAgent, module: str, code: str) -> None:
    path = agent.home.path / "plugins" / "timmy" / module
    path.write_text(path.read_text("utf-8") + "\n\n" + code, "utf-8")


BREAK = """
def _broken(*args, **kwargs):
    raise {error}

"""

LEAPING_CLOCK = """
import itertools as _i
_leap = _i.cycle([0.0, 4e9, -4e9, float("nan")])
for _class in (Kit, Policies, Recorder):
    _class.__init__.__kwdefaults__["clock"] = lambda: next(_leap)
"""
PLACES: dict[str, tuple[str, str]] = {
    "at import": ("__init__.py", "raise RuntimeError"),
    "at import, to end the process": ("kit.py", "raise SystemExit(3)"),
    "no syntax": ("hermes.py", "this is no Python"),
    "in register": ("__init__.py", BREAK.format(error="RuntimeError") + "register = _broken"),
    "when the kit is made": (
        "kit.py",
        BREAK.format(error="RuntimeError") + "Kit.__init__ = _broken",
    ),
    "a clock that leaps": ("kit.py", LEAPING_CLOCK),
}


@pytest.mark.parametrize("name", PLACES)
def test_whatever_breaks_in_the_kit_the_agent_works_as_without_it(
    name: str, hermes: HermesAgent
) -> None:
    install_kit(hermes.home)
    _append(hermes, *PLACES[name])

    assert _turn(hermes) == _without(hermes)


def _missing(path: Path) -> None:
    path.unlink(missing_ok=True)


def _torn(path: Path) -> None:
    path.write_bytes(b'{"schema":"timmy.policy/1","revision":17,"publ')


def _huge(path: Path) -> None:
    path.write_bytes(b'{"a":"' + b"x" * LARGEST_BYTES * 4)


def _deep(path: Path) -> None:
    path.write_bytes(b"[" * (LARGEST_BYTES - 1))


def _directory(path: Path) -> None:
    path.mkdir()


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _unreadable(path: Path) -> None:
    path.write_bytes(b"{}")
    path.chmod(0)


@pytest.mark.parametrize(
    "make",
    [_missing, _torn, _huge, _deep, _directory, _fifo, _unreadable],
    ids=lambda m: m.__name__,
)
def test_whatever_lies_where_the_policy_should_be_the_agent_works_as_without_it(
    make: Callable[[Path], None], hermes_022: HermesAgent
) -> None:
    hermes = hermes_022
    install_kit(hermes.home)
    policy = hermes.home.user_home / ".local" / "state" / "timmyd" / "policy.json"
    policy.parent.mkdir(parents=True)
    make(policy)

    assert _turn(hermes) == _without(hermes)
    # Four in the script ran and were recorded; 0.22 adds none of those that never ran.
    assert [line["outcome"] for line in tool_lines(hermes.home.path)].count("ok") == 3


@pytest.mark.parametrize("made", ["a file in the way", "read-only"])
def test_a_folder_that_takes_no_telemetry_stops_nothing(made: str, hermes_019: HermesAgent) -> None:
    hermes = hermes_019
    install_kit(hermes.home)
    hermes.home.sessions_dir.mkdir(exist_ok=True)
    folder = hermes.home.sessions_dir / "timmy"
    if made == "read-only":
        folder.mkdir(mode=0o500)
    else:
        folder.write_text("in the way")

    assert _turn(hermes) == _without(hermes)


def test_a_kit_that_is_half_removed_stops_nothing(hermes_022: HermesAgent) -> None:
    hermes = hermes_022
    install_kit(hermes.home)
    folder = hermes.home.path / "plugins" / "timmy"
    (folder / "reader.py").unlink()
    shutil.rmtree(folder / "__pycache__", ignore_errors=True)

    assert _turn(hermes) == _without(hermes)
