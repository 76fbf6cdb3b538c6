"""Houses that nothing is learned from: what an order of the operator does to all that was learned."""

from collections.abc import Mapping
from typing import Any, Final

from timmyd.core.ownership import HouseState
from timmyd.engine.learning import Learner
from timmyd.store.database import PatternDatabase

STATE_AFTER: Final[Mapping[str, HouseState]] = {
    "quarantine": "quarantined",
    "release": "active",
    "forget": "forgotten",
}
"""The orders, and what a house is after each."""


class Aside:
    """The houses that are quarantined or forgotten, as they stand in the database."""

    def __init__(self, database: PatternDatabase) -> None:
        self._database = database
        self._houses: frozenset[str] = frozenset()
        self._version = -1

    @property
    def houses(self) -> frozenset[str]:
        """Their names."""
        owners = self._database.owners
        if self._version != owners.version:
            self._version = owners.version
            all_houses = owners.all().values()
            self._houses = frozenset(h.name for h in all_houses if h.state != "active")
        return self._houses

    def carry_out(self, kind: str, body: Mapping[str, Any], learner: Learner, *, mark: int) -> str:
        """Carry out an order over a house; returns in words what came of it and what is lost.

        Raises:
            KeyError: There is no such house.
            ValueError: It is so already.
        """
        house, state = str(body["house"]), STATE_AFTER[kind]
        before = self._database.owners.all()[house].state
        if before == state:
            problem = f"{house} is {state} already"
            raise ValueError(problem)
        self._database.owners.set_state(house, state)
        if state == "active":
            learner.learn_anew(aside=self.houses, mark=mark)
            lost = " what was removed does not come back;" if before == "forgotten" else ""
            return f"{house} is released;{lost} it is learned from again, from its rows on"
        words = learner.leave(house, aside=self.houses, mark=mark)
        if state == "forgotten":
            removed = self._database.remove_house(house)
            words = f"its {removed:,} calls are removed for good and its files refused; {words}"
        return f"{house} is {state}: {words}"
