"""One type and its options, chosen among as the engine does; shared by unit tests and worlds."""

from collections.abc import Collection, Iterable

from timmyd.core.estimating.choose import MINIMUM, Lead, Preference, choice, stand
from timmyd.core.estimating.options import Experience

TYPE = "type"


class Chooser:
    """Learns, settles when told, and says what would be published."""

    def __init__(self, names: Iterable[str], *, exploration: float = 0.02) -> None:
        self.names, self.exploration = list(names), exploration
        self.experience = Experience()
        self.lead: Lead | None = None

    def learn(
        self,
        name: str,
        *,
        ok: bool,
        kind: str = TYPE,
        session: str | None = None,
        followed: bool = False,
        latency_ms: float | None = None,
        cost: float | None = None,
    ) -> None:
        self.experience.learn(
            kind, name, ok=ok, session=session, followed=followed, latency_ms=latency_ms, cost=cost
        )

    def feed(self, name: str, good: int, bad: int) -> None:
        """Calls spread evenly, failures among successes."""
        for n in range(good + bad):
            self.learn(name, ok=(n + 1) * bad // (good + bad) == n * bad // (good + bad))

    def settle(self, kind: str = TYPE) -> None:
        before = self.lead
        if before is not None and before.known < MINIMUM:
            before = None
        self.lead = stand(kind, [self.experience], self.names, before)

    def decide(self, *, without: Collection[str] = ()) -> Preference:
        if self.lead is None:
            self.settle()
        assert self.lead is not None
        return choice(self.lead, exploration=self.exploration, without=without)

    def settled(self) -> Preference:
        self.settle()
        return self.decide()
