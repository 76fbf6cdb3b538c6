"""PURE: what a house has spent in calendar windows and turns, what is under way, and which cap is reached."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from .keys import is_number

UNITS: Final = ("tokens", "money")
WINDOWS: Final = ("hour", "day", "month")
TURN: Final = "turn"
CAPS: Final = tuple(f"{unit}_per_{window}" for unit in UNITS for window in (*WINDOWS, TURN))
"""The caps that there are: tokens or money in an hour, a day, a month of the calendar, or one turn."""

SCHEMA: Final = "timmy.ledger/1"
_FORMS: Final = {"hour": "%Y-%m-%dT%H%z", "day": "%Y-%m-%d", "month": "%Y-%m"}
_MOST_TURNS: Final = 512
_MOST_RESERVED: Final = 1_024
_OLDEST_S: Final = 3_600.0
_APART: Final = {"hour": timedelta(hours=1), "day": timedelta(days=1), "month": timedelta(days=1)}
"""How far the clocks or the zones of two processes may be apart without emptying each other's windows."""

_LARGEST: Final = 1e15


class Spent(NamedTuple):
    """An amount: tokens, and money where the price of every call was known."""

    tokens: float = 0.0
    money: float = 0.0

    def plus(self, other: "Spent") -> "Spent":
        """Both together."""
        return Spent(self.tokens + other.tokens, self.money + other.money)


class Reached(NamedTuple):
    """A cap with what counts towards it.

    Attributes:
        cap: One of `CAPS`.
        limit: Its value.
        used: What was spent and what is under way.
    """

    cap: str
    limit: float
    used: float


class Reservation(NamedTuple):
    """A call that is under way: whose process, for how much, since when."""

    pid: int
    born: str
    tokens: float
    money: float
    at: float
    turn: str


class LedgerError(ValueError):
    """The bytes are no ledger of ours."""


class Ledger:
    """One house's account. Times are handed in; windows are those of the calendar in one zone."""

    def __init__(self) -> None:
        self.windows: dict[str, tuple[str, Spent]] = {}
        self.turns: dict[str, tuple[float, Spent]] = {}
        self.reserved: dict[str, Reservation] = {}
        self.biggest = Spent()
        self.unpriced = 0

    @classmethod
    def load(cls, data: bytes) -> "Ledger":
        """Read what `dump` wrote.

        Raises:
            LedgerError: It is something else, or damaged.
        """
        ledger = cls()
        try:
            raw = json.loads(data)
            if raw["schema"] != SCHEMA:
                raise LedgerError(SCHEMA)
            for window in WINDOWS:
                if window in raw["windows"]:
                    key, tokens, money = raw["windows"][window]
                    ledger.windows[window] = (str(key), _spent(tokens, money))
            for turn, (at, tokens, money) in raw["turns"].items():
                ledger.turns[turn] = (float(at), _spent(tokens, money))
            for name, (pid, born, tokens, money, at, turn) in raw["reserved"].items():
                _spent(tokens, money)
                ledger.reserved[name] = Reservation(
                    int(pid), str(born), float(tokens), float(money), float(at), str(turn)
                )
            ledger.biggest = _spent(*raw["biggest"])
            ledger.unpriced = int(raw["unpriced"])
        except LedgerError:
            raise
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise LedgerError(str(type(error).__name__)) from error
        return ledger

    def dump(self) -> bytes:
        """Everything, as JSON."""
        return json.dumps(
            {
                "schema": SCHEMA,
                "windows": {name: [key, *spent] for name, (key, spent) in self.windows.items()},
                "turns": {name: [at, *spent] for name, (at, spent) in self.turns.items()},
                "reserved": {name: list(one) for name, one in self.reserved.items()},
                "biggest": list(self.biggest),
                "unpriced": self.unpriced,
            },
            separators=(",", ":"),
        ).encode()

    def roll(self, moment: datetime) -> None:
        """Begin the windows of this moment; what was spent in earlier ones no longer counts.

        A window that another process has begun a little ahead of us stays: whose clock or zone is behind
        spends from it too, else each would begin anew what the other has counted.
        """
        for window, form in _FORMS.items():
            key = moment.strftime(form)
            known = self.windows.get(window, ("", Spent()))[0]
            ahead = _begins(known) > _begins(key) and _begins(known) <= _begins(
                (moment + _APART[window]).strftime(form)
            )
            if not ahead and _begins(known) != _begins(key):
                self.windows[window] = (key, Spent())
                if window == "day":
                    self.biggest, self.unpriced = Spent(), 0

    def drop_dead(self, now: float, lives: Callable[[int, str], bool]) -> None:
        """Let go of reservations whose process is gone, or that no call could have needed so long."""
        for name, one in list(self.reserved.items()):
            if not abs(now - one.at) < _OLDEST_S or not lives(one.pid, one.born):
                del self.reserved[name]

    def standing(self, caps: Mapping[str, float], turn: str) -> list[Reached]:
        """Every cap that is set, with what counts towards it; the fullest first."""
        found = [Reached(name, limit, self._used(name, turn)) for name, limit in caps.items()]
        return sorted(found, key=lambda one: -one.used / one.limit if one.limit > 0 else -_LARGEST)

    def reserve(self, name: str, *, pid: int, born: str, at: float, turn: str) -> None:
        """A call begins: until it is settled, the day's biggest call counts for it."""
        self.reserved[name] = Reservation(pid, born, *self.biggest, at, turn)
        _bound(self.reserved, _MOST_RESERVED)

    def settle(
        self, name: str, *, tokens: float | None, money: float | None, at: float, turn: str
    ) -> None:
        """A call is over: what it took replaces what was reserved for it.

        Args:
            name: As given to `reserve`; a call that reserved nothing counts all the same.
            tokens: All of them; None where the provider did not say: then the reservation stands for it.
            money: None where the price is not known: then tokens alone count, and `unpriced` says how often.
            at: Unix seconds.
            turn: The turn of the call; empty for none.
        """
        held = self.reserved.pop(name, None)
        guess = Spent() if held is None else Spent(held.tokens, held.money)
        spent = Spent(
            guess.tokens if tokens is None else min(max(0.0, tokens), _LARGEST),
            (guess.money if tokens is None else 0.0)
            if money is None
            else min(max(0.0, money), _LARGEST),
        )
        self.unpriced += money is None and spent.tokens > 0.0
        self.biggest = Spent(*(max(pair) for pair in zip(self.biggest, spent, strict=True)))
        for window, (key, before) in self.windows.items():
            self.windows[window] = (key, before.plus(spent))
        if turn:
            _, before = self.turns.pop(turn, (at, Spent()))
            self.turns[turn] = (at, before.plus(spent))
            _bound(self.turns, _MOST_TURNS)

    def release(self, name: str) -> None:
        """A call ended without having cost anything."""
        self.reserved.pop(name, None)

    def _used(self, cap: str, turn: str) -> float:
        unit, _, window = cap.partition("_per_")
        at = UNITS.index(unit)
        if window == TURN:
            spent = self.turns.get(turn, (0.0, Spent()))[1]
            under_way = [one for one in self.reserved.values() if turn and one.turn == turn]
        else:
            spent = self.windows.get(window, ("", Spent()))[1]
            under_way = list(self.reserved.values())
        return spent[at] + sum((one.tokens, one.money)[at] for one in under_way)


def _begins(key: str) -> tuple[float, str]:
    """Puts the keys of one kind of window in order: hours by their instant, whatever their zone."""
    try:
        return datetime.strptime(key, _FORMS["hour"]).timestamp(), ""  # noqa: DTZ007 - holds %z
    except ValueError:
        return 0.0, key


def window_ends(cap: str, moment: datetime) -> datetime | None:
    """When the window of a cap begins anew, in the zone of `moment`; None for a turn."""
    window = cap.rpartition("_")[2]
    hour = moment.replace(minute=0, second=0, microsecond=0)
    if window == "hour":
        return hour + timedelta(hours=1)
    if window == "day":
        return hour.replace(hour=0) + timedelta(days=1)
    if window == "month":
        return (hour.replace(day=1, hour=0) + timedelta(days=32)).replace(day=1)
    return None


def caps_of(table: object) -> dict[str, float]:
    """The caps of a published or stored table; what is no cap of ours, or no sane number, is left out."""
    if not isinstance(table, Mapping):
        return {}
    return {
        name: float(table[name])
        for name in CAPS
        if name in table and is_number(table[name], 0.0, _LARGEST)
    }


def lower(first: Mapping[str, float], second: Mapping[str, float]) -> dict[str, float]:
    """Both sets of caps in one: of each the lower."""
    return {
        name: min(caps[name] for caps in (first, second) if name in caps)
        for name in CAPS
        if name in first or name in second
    }


def money_of(
    prices: Mapping[str, Any], model: str, tokens_in: float, tokens_out: float
) -> float | None:
    """What a call costs, None where the model has no price.

    Args:
        prices: By model, `{"in": …, "out": …}` for a million tokens.
        model: The model that answered.
        tokens_in: Tokens read, cached ones included: the upper bound.
        tokens_out: Tokens written, reasoning included.
    """
    price = prices.get(model)
    if not isinstance(price, Mapping):
        return None
    per_in, per_out = price.get("in"), price.get("out")
    if not is_number(per_in, 0.0, _LARGEST) or not is_number(per_out, 0.0, _LARGEST):
        return None
    return (tokens_in * float(per_in or 0.0) + tokens_out * float(per_out or 0.0)) / 1e6


def _spent(tokens: object, money: object) -> Spent:
    if not is_number(tokens, 0.0, _LARGEST * 1e3) or not is_number(money, 0.0, _LARGEST * 1e3):
        raise LedgerError("amount")
    return Spent(float(tokens), float(money))  # type: ignore[arg-type]


def _bound(table: dict[str, Any], most: int) -> None:
    while len(table) > most:
        table.pop(next(iter(table)))
