"""Every signal and guard of a shipped rule comes out of what houses really write, not only out of tests."""

import random
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import pytest

from timmyd import IntelligenceEngine, PatternDatabase
from timmyd.core.judging.judgement import Judgement
from timmyd.core.judging.rules import RULES, Observation, PolicySpec, expand
from timmyd.core.judging.rules.routes import Routes
from timmyd.core.publishing import encode
from timmyd.engine.ingest import Ingest
from timmyd.engine.intake import Origin
from timmyd.house import Harness, Policies
from timmyd.house.harness import RefusedError
from timmyd.house.keys import KEYS

START = 1_790_000_000.0
HOUSES = ("ezra", "bezalel", "timmy")
SPECS = {
    key: PolicySpec(default=known.default, least=known.least, most=known.most, step=known.step)
    for key, known in KEYS.items()
}
EXPANDED = expand(RULES, SPECS)


class CallError(Exception):
    """A call that went wrong."""


class World:
    """Three houses under the kit's own harness, and an engine that reads what they write."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = START
        self.rng = random.Random(1)
        self.file = folder / "policy.json"
        self.engine = IntelligenceEngine(
            PatternDatabase(folder / "timmy.db", clock=self.clock), clock=self.clock
        )

    def clock(self) -> float:
        return self.now

    def work(self, house: str) -> None:
        """Turns of building, testing and looking; some tools fail much, most of all outside of ezra."""
        policies = Policies(self.file, clock=self.clock, monotonic=self.clock)
        harness = Harness(
            house, directory=self.folder / house, policies=policies, model="m1", clock=self.clock,
            monotonic=self.clock, sleep=lambda _: None,
        )  # fmt: skip
        poor = 0.25 if house == "ezra" else 0.02

        def run(command: str = "", path: str = "", *, fails: float) -> None:
            self.now += 0.5
            if self.rng.random() < fails:
                raise CallError(command + path)

        terminal = harness.wrap("terminal", lambda command: run(command, fails=0.4))
        patch = harness.wrap("patch", lambda path: run(path=path, fails=0.5))
        web = harness.wrap("web_search", lambda query: run(query, fails=1.0 - poor))
        for turn in range(25):
            with suppress(CallError), harness.turn():
                with suppress(CallError, RefusedError):
                    patch(path="a.py")
                with suppress(CallError, RefusedError):
                    terminal(command="pytest tests")
                with suppress(CallError, RefusedError):
                    web(query="x")
                if turn % 5 == 0:
                    raise CallError

    def read(self) -> None:
        """What the daemon does: take the telemetry in, decide, publish."""
        ingest = Ingest.of(self.engine.settings)
        for house in HOUSES:
            for path in sorted((self.folder / house / "timmy").glob("*.jsonl")):
                origin = Origin(
                    str(self.folder / house), house, "telemetry", path.stem, self.now, self.now
                )
                with self.engine.database.batch() as batch:
                    ingest.take(batch, origin, path.read_bytes(), None)
        self.engine.analyze_and_adapt()
        revision = self.engine.revision + 1
        document = self.engine.policy_document(revision=revision)
        self.engine.announce(revision, now=self.now)
        self.file.write_bytes(encode(document))


@pytest.fixture(scope="module")
def streams(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """For each rule the streams, its own `""` and its guards, that got a value."""
    seen: list[Observation] = []
    observe = Judgement.observe

    def listening(self: Judgement, executions: Iterable[Observation]) -> None:
        listed = list(executions)
        seen.extend(listed)
        observe(self, listed)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Judgement, "observe", listening)
        world = World(tmp_path_factory.mktemp("fed"))
        for _ in range(4):
            for house in HOUSES:
                world.work(house)
            world.read()
        world.engine.database.close()
    routes, found = Routes(EXPANDED), defaultdict(set)
    for observation in seen:
        for name, carried in routes.of(observation):
            for stream, signal in carried:
                if signal.value(observation, 1000.0) is not None:
                    found[name].add(stream)
    return found


@pytest.mark.parametrize("rule", EXPANDED, ids=lambda rule: rule.name)
def test_the_signal_and_the_guards_of_a_shipped_rule_are_fed(
    rule: object, streams: dict[str, set[str]]
) -> None:
    (spec,) = (known for known in EXPANDED if known is rule)

    assert streams[spec.name] == {"", *spec.guards}
