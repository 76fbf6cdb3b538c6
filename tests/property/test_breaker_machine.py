"""Whatever happens in whatever order, the breakers keep their promises."""

import json

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from timmyd.house.breaker import CLOSED, Breakers

HOUSES = st.sampled_from(["ezra", "bezalel", "timmy"])
TOOLS = st.sampled_from(["web", "shell"])
OUTCOMES = st.sampled_from(["ok", "error", "timeout", "blocked", "cancelled", "unknown", "?"])
WORST = st.sampled_from(["error", "error", "error", "ok"])


class BreakerMachine(RuleBasedStateMachine):
    """Two twins, one of which is restarted all the time."""

    def __init__(self) -> None:
        super().__init__()
        self.one = Breakers(seed="m")
        self.two = Breakers(seed="m")
        self.now = 1_000_000.0
        self.forced: set[tuple[str, str]] = set()

    @rule(house=HOUSES, tool=TOOLS, outcome=OUTCOMES, session=st.none() | st.sampled_from("abc"))
    def record(self, house: str, tool: str, outcome: str, session: str | None) -> None:
        for breakers in (self.one, self.two):
            breakers.record(house, tool, self.now, outcome, session=session)

    @rule(house=HOUSES, tool=TOOLS, outcomes=st.lists(WORST, min_size=10, max_size=30))
    def burst(self, house: str, tool: str, outcomes: list[str]) -> None:
        for n, outcome in enumerate(outcomes):
            for breakers in (self.one, self.two):
                breakers.record(house, tool, self.now, outcome, session=f"s{n % 3}")

    @rule(seconds=st.floats(-4000, 4000))
    def time_moves(self, seconds: float) -> None:
        self.now += seconds

    @rule(house=HOUSES, tool=TOOLS)
    def ask(self, house: str, tool: str) -> None:
        first = self.one.allows(house, tool, self.now)
        assert first == self.two.allows(house, tool, self.now)
        assert first.allowed or first.reason
        if first.probe:
            assert not self.one.allows(house, tool, self.now).allowed
            assert not self.two.allows(house, tool, self.now).allowed

    @rule(house=HOUSES, tool=TOOLS)
    def force(self, house: str, tool: str) -> None:
        for breakers in (self.one, self.two):
            breakers.force(house, tool, self.now)
        self.forced.add((house, tool))

    @rule(house=HOUSES, tool=TOOLS)
    def clear(self, house: str, tool: str) -> None:
        for breakers in (self.one, self.two):
            breakers.clear(house, tool, self.now)
        self.forced.discard((house, tool))

    @rule()
    def restart(self) -> None:
        self.two = Breakers.from_dict(json.loads(json.dumps(self.two.to_dict())), seed="m")

    @precondition(lambda self: len(self.one) > 0)
    @rule()
    def wait_long_enough(self) -> None:
        """No breaker but a forced one refuses for longer than the longest wait."""
        for (house, tool, _), breaker in list(self.one):
            for breakers in (self.one, self.two):
                breakers.allows(house, tool or "", self.now)
            if not breaker.forced and breaker.state != CLOSED:
                later = self.now + 240 * 1.1 + 5
                assert breaker.allows(later).allowed
                assert self.two.allows(house, tool, later).allowed

    @invariant()
    def the_twins_agree(self) -> None:
        assert self.one.to_dict() == self.two.to_dict()

    @invariant()
    def forced_stays_and_no_tool_loses_its_last_house(self) -> None:
        for house, tool in self.forced:
            assert not self.one.allows(house, tool, self.now).allowed
        if not self.forced:
            for tool in ("web", "shell"):
                houses = [b.state for key, b in self.one if key.tool == tool]
                assert len(houses) < 2 or CLOSED in houses or not self.counted(tool)

    def counted(self, tool: str) -> bool:
        """Whether all of them opened by count, and not because the operator forced one before."""
        return all(b.opened > 0 for key, b in self.one if key.tool == tool)


TestBreakers = BreakerMachine.TestCase
