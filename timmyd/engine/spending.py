"""The caps and prices of the settings as the policy tells them to the houses."""

from collections.abc import Mapping
from typing import Any

import msgspec

from timmyd.config import Settings
from timmyd.house.ledger import CAPS


class Raises(msgspec.Struct):
    """Caps that the operator raised for the window at hand.

    Attributes:
        caps: By house and cap, `house/cap`: the value, and until when, Unix seconds.
    """

    caps: dict[str, tuple[float, float]] = {}

    @classmethod
    def load(cls, saved: bytes | None) -> "Raises":
        """Go on from what `dump` gave; what cannot be read is as if nothing had been raised."""
        try:
            return cls() if saved is None else msgspec.json.decode(saved, type=cls)
        except msgspec.MsgspecError:
            return cls()

    def dump(self) -> bytes:
        """The whole state."""
        return msgspec.json.encode(self)

    def raise_cap(self, body: Mapping[str, Any]) -> str:
        """Raise a cap as an order says; returns what was done, in words.

        Raises:
            KeyError: The order lacks something.
            ValueError: It names no cap, or no number.
        """
        house, cap = str(body["house"]), str(body["cap"])
        value, until = float(body["value"]), float(body["until"])
        if cap not in CAPS:
            raise ValueError(cap)
        self.caps[f"{house}/{cap}"] = value, until
        return f"{cap} of {house} is {value:g} for this window"

    def of(self, house: str, now: float) -> dict[str, float]:
        """What is raised of a house now."""
        return {
            key.partition("/")[2]: value
            for key, (value, until) in self.caps.items()
            if key.partition("/")[0] == house and now < until
        }


def budgets(settings: Settings, raises: Raises, now: float) -> dict[str, Any]:
    """The part `budgets` of the policy; a house without a cap is left out."""
    prices = {
        model: {"in": price.per_million_in, "out": price.per_million_out}
        for model, price in settings.prices.items()
    }
    found = {}
    for house, table in settings.budget.items():
        given = msgspec.structs.asdict(table)
        raised = raises.of(house, now)
        caps = {
            name: max(given[name], raised.get(name, 0.0))
            for name in CAPS
            if given[name] is not None
        }
        if caps:
            found[house] = {
                "caps": caps,
                "prices": prices,
                "warn": table.warn,
                "on_trouble": table.on_trouble,
                "zone": settings.clock.zone,
            }
    return found
