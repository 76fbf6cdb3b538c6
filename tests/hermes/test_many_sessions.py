"""Many sessions in one process, the normal case: all that ran is recorded once, and nothing is in the way."""

import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hermes.support.agent import HermesAgent
from tests.hermes.support.environment import HERMES_019, HERMES_021, HERMES_022
from tests.hermes.support.gateway import Told, Work, run
from tests.hermes.support.home import HermesHome
from tests.hermes.support.kit import headers, install_kit, telemetry, tool_lines
from tests.hermes.support.model_server import ModelServer
from tests.unit.house.documents import document, open_breaker
from timmyd.core.publishing import encode

VERSIONS = (HERMES_019, HERMES_021, HERMES_022)
WHOLE = Work()
SMALL = Work(sessions=3, inner=12)
ALONE = Work(sessions=1, scripts=1, inner=8, threads=1)

Make = Callable[..., HermesAgent]
_plain: dict[tuple[str, Work, bool], Told] = {}


@pytest.fixture
def make(
    tmp_path: Path, model_server: ModelServer, hermes_installed: Callable[[str], Path]
) -> Make:
    """Makes an agent, always in the same place, so that what its model is told can be compared."""

    def made(version: str, *, meddler: bool = False, name: str = "agent") -> HermesAgent:
        hermes_installed(version)
        agent = HermesAgent(version, tmp_path / name, model_server)
        if meddler:
            plugins = Path(__file__).parent / "support" / "plugins"
            agent.home.install_plugin(plugins / "meddler", "meddler")
        return agent

    return made


def _without(make: Make, version: str, work: Work, *, meddler: bool = False) -> Told:
    """The same work without the kit, once for each version."""
    key = (version, work, meddler)
    if key not in _plain:
        _plain[key] = run(make(version, meddler=meddler, name="plain"), work)
    return _plain[key]


def _same(told: Told, plain: Told) -> None:
    """Nothing that the model was told differs by a byte, and every session came to its end."""
    assert set(told.answers.values()) == {"all is done"}, told.answers
    assert told.answers == plain.answers
    assert told.requests == plain.requests


def _recorded(home: HermesHome, work: Work) -> Counter[tuple[str, str, bool]]:
    names = set(work.names())
    return Counter(
        (line["session"] if line["session"] in names else "child", line["tool"], line["inner"])
        for line in tool_lines(home.path)
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_every_call_of_every_session_is_recorded_once_where_it_belongs(
    version: str, make: Make
) -> None:
    agent = make(version)
    install_kit(agent.home)

    told = run(agent, WHOLE)

    lines = tool_lines(agent.home.path)
    sys.stdout.write(f"\nhermes {version}: {len(lines)} calls recorded in {told.seconds:.0f} s\n")
    assert _recorded(agent.home, WHOLE) == WHOLE.expected()
    assert {line["outcome"] for line in lines} == {"ok"}, "none is refused, none fails"
    assert all(line["latency_ms"] > 0.0 for line in lines)
    for name in WHOLE.names():
        for number in range(WHOLE.scripts):
            assert f"{WHOLE.inner} read" in told.results[f"{name}-s{number}"]
    turns = {(line["session"], line["turn"]) for line in lines if line["tool"] != "memory"}
    assert len(turns) == 2 * WHOLE.sessions, "one turn a session, one a child"
    heads = {head["session_id"]: head for head in headers(agent.home.path)}
    parents = [head["parent"] for name, head in heads.items() if name not in WHOLE.names()]
    assert sorted(parents) == WHOLE.names()
    assert {head["seam"] for head in heads.values()} == {"middleware"}
    assert {heads[name]["platform"] for name in WHOLE.names()} == {"telegram"}
    models = [line for line in telemetry(agent.home.path) if line["kind"] == "model"]
    asked = sum(map(len, told.requests.values()))
    # The last request of a session may be lost to 0.21, which skips hooks: of a turn's end, too.
    assert asked - WHOLE.sessions <= len(models) <= asked
    assert "tool calls: this kit wraps every tool call" in told.slash
    assert "not recorded" not in told.slash


def _append(home: HermesHome, module: str, code: str) -> None:
    path = home.path / "plugins" / "timmy" / module
    path.write_text(path.read_text("utf-8") + "\n\n" + code, "utf-8")


def _policy(home: HermesHome, data: bytes) -> None:
    path = home.user_home / ".local" / "state" / "timmyd" / "policy.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(data)


def _torn(home: HermesHome) -> None:
    _policy(home, encode(document(published_at=time.time()))[:-40])


def _from_the_future(home: HermesHome) -> None:
    tools = ("read_file", "execute_code", "memory", "terminal", "delegate_task")
    breakers = [open_breaker(tool, since=4e9, probe_at=4.1e9) for tool in tools]
    _policy(home, encode(document(published_at=4e9, breakers=breakers)))


def _observing(home: HermesHome) -> None:
    breakers = [open_breaker("read_file", since=1e9, probe_at=4.1e9)]
    _policy(home, encode(document(published_at=1e9, life_s=4e9, mode="observe", breakers=breakers)))


def _full_disk(home: HermesHome) -> None:
    _append(home, "recorder.py", FULL_DISK)


def _read_only(home: HermesHome) -> None:
    _append(home, "recorder.py", READ_ONLY)


def _every_hook_ends_the_process(home: HermesHome) -> None:
    _append(home, "hermes.py", EVERY_HOOK)


def _every_function_fails_now_and_then(home: HermesHome) -> None:
    _append(home, "__init__.py", NOW_AND_THEN)


FULL_DISK = """
def _full(*_):
    raise OSError(28, "No space left on device")
_RealDisk.write = _full
"""
READ_ONLY = """
def _read_only(*_):
    raise OSError(30, "Read-only file system")
_RealDisk.open = _read_only
"""
EVERY_HOOK = """
def _ends(*_, **__):
    raise SystemExit(3)
for _name in (*HermesPlugin.HOOKS, "enter", "leave", "mark", "command", "kit"):
    setattr(HermesPlugin, _name, _ends)
"""
NOW_AND_THEN = """
def _sabotage():
    # Every function of every module raises at every seventh call, in turn all that can be raised.
    import importlib, itertools, pathlib, types
    errors = itertools.cycle((RuntimeError, SystemExit, KeyboardInterrupt, GeneratorExit, MemoryError, OSError))
    spared = {"register", "_register", "_guarded", "guarded", "_attach", "_around", "tool_execution", "_sabotage"}
    def breaking(function):
        count = itertools.count(1)
        def broken(*args, **kwargs):
            if next(count) % 7 == 0:
                raise next(errors)
            return function(*args, **kwargs)
        return broken
    names = sorted(path.stem for path in pathlib.Path(__file__).parent.glob("[a-z]*.py"))
    modules = [importlib.import_module("." + name, __name__) for name in names]
    wrapped = {}
    def of(value):
        ours = isinstance(value, types.FunctionType) and value.__module__.startswith(__name__)
        if not ours or value.__name__ in spared or value.__name__.startswith("__"):
            return value
        return wrapped.setdefault(value, breaking(value))
    for module in modules:
        for name, value in list(vars(module).items()):
            setattr(module, name, of(value))
            if isinstance(value, type) and value.__module__.startswith(__name__):
                for inner, member in list(vars(value).items()):
                    if isinstance(member, types.FunctionType):
                        setattr(value, inner, of(member))
_sabotage()
"""


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("trouble", "recorded"),
    [
        (_torn, True),
        (_from_the_future, True),
        (_observing, True),
        (_full_disk, False),
        (_read_only, False),
        (_every_hook_ends_the_process, False),
        (_every_function_fails_now_and_then, False),
    ],
    ids=lambda value: value.__name__.strip("_") if callable(value) else "",
)
def test_whatever_is_wrong_the_sessions_go_on_as_without_the_kit(
    trouble: Callable[[HermesHome], None], recorded: bool, version: str, make: Make
) -> None:
    agent = make(version)
    install_kit(agent.home)
    trouble(agent.home)

    told = run(agent, SMALL)

    _same(told, _without(make, version, SMALL))
    if recorded:
        assert _recorded(agent.home, SMALL) == SMALL.expected()
        assert "blocked" not in {line["outcome"] for line in tool_lines(agent.home.path)}
    elif trouble in (_full_disk, _read_only):
        lost = sum(SMALL.expected().values())
        assert "not recorded: " in told.slash
        assert int(told.slash.partition("not recorded: ")[2].split()[0]) >= lost


@pytest.mark.parametrize("version", VERSIONS)
def test_a_plugin_that_blocks_changes_and_breaks_calls_is_told_apart(
    version: str, make: Make
) -> None:
    agent = make(version, meddler=True)
    install_kit(agent.home)

    told = run(agent, ALONE)

    _same(told, _without(make, version, ALONE, meddler=True))
    found = _recorded(agent.home, ALONE)
    name = ALONE.names()[0]
    # What it blocks inside a script reaches neither middleware nor, from 0.21 on, a hook: it never ran.
    unseen = Counter({(name, "read_file", True): 0 if version == HERMES_019 else 1})
    assert found == ALONE.expected() - unseen
    blocked = [
        line["call_id"] for line in tool_lines(agent.home.path) if line["outcome"] == "blocked"
    ]
    assert sorted(blocked) == ["", f"{name}-r3"][1 - (version == HERMES_019) :]


def test_where_plugins_run_in_a_process_of_their_own_the_kit_only_listens(make: Make) -> None:
    agent = make(HERMES_022)
    plain = _without(make, HERMES_022, SMALL)
    install_kit(agent.home)
    agent.home.configure({"plugins": {"isolation": "host"}})

    told = run(agent, SMALL)

    _same(told, plain)
    outer = Counter(
        {key: n for key, n in SMALL.expected().items() if key[1:] != ("read_file", True)}
    )
    found = _recorded(agent.home, SMALL)
    # The process of the plugins does not hear which calls are a review's.
    assert Counter((session, tool) for session, tool, _ in found.elements()) == Counter(
        (session, tool) for session, tool, _ in outer.elements()
    )
    assert "blocked" not in {line["outcome"] for line in tool_lines(agent.home.path)}
    assert {head["seam"] for head in headers(agent.home.path)} == {"reports"}
    assert "is only told after tool calls" in told.slash
