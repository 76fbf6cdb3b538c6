"""What trying again is worth and what helped after a failure: fed by executions, published by owner."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from timmyd.core.estimating.remedies import Failure, Remedies, Remedy, published as remedies_of
from timmyd.core.estimating.retries import RetryCurves
from timmyd.core.model import Execution
from timmyd.house.repeats import DEFAULT_LIMIT, RETRY_LIMIT


class Retrying(msgspec.Struct):
    """Curves and remedies, which go on over restarts."""

    curves: RetryCurves = msgspec.field(default_factory=RetryCurves)
    remedies: Remedies = msgspec.field(default_factory=Remedies)

    @classmethod
    def load(cls, saved: bytes | None) -> "Retrying":
        """Go on from what `dump` gave; None begins.

        Raises:
            MsgspecError: It cannot be read.
        """
        return cls() if saved is None else msgspec.msgpack.decode(saved, type=cls)

    def dump(self) -> bytes:
        """The whole state; going on from it gives the same bytes as not having stopped."""
        return msgspec.msgpack.encode(self)

    def learn(self, executions: Iterable[Execution]) -> set[int]:
        """Take executions in, in event order.

        Returns:
            The ids of those that were wasted: they hopelessly repeated what had failed.
        """
        wasted = set()
        for execution in executions:
            if self.curves.learn(execution):
                wasted.add(execution.id)
            self.remedies.learn(execution)
        return wasted

    def leave(self, house: str) -> None:
        """Let go of all that a house has shown."""
        self.curves.forget(house)
        self.remedies.forget(house)

    def known_remedies(self, house: str | None = None) -> dict[Failure, list[Remedy]]:
        """What helped beyond chance, by failure."""
        return self.remedies.known(house)

    def published(self, owners: Mapping[str, str], values: Mapping[str, float]) -> dict[str, Any]:
        """The parts `retries` and `remedies` of the policy; a part with nothing in it is left out.

        Args:
            owners: The owner of every house; houses of one owner pool.
            values: Policy values by full key.
        """
        by_owner: dict[str, list[str]] = {}
        for house, owner in owners.items():
            by_owner.setdefault(owner, []).append(house)
        retries: dict[str, Any] = {}
        for houses in by_owner.values():
            limits = {
                house: values.get(f"{house}.{RETRY_LIMIT}", float(DEFAULT_LIMIT))
                for house in houses
            }
            retries |= self.curves.published(houses, limits)
        found = {"retries": retries, "remedies": remedies_of(self.known_remedies())}
        return {part: table for part, table in found.items() if table}
