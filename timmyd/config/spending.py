"""The settings of what houses may spend."""

from typing import Annotated

import msgspec

from timmyd.config.kinds import Number
from timmyd.config.texts import Word

_MOST_TOKENS = 1e15
_MOST_MONEY = 1e9


class HouseBudget(msgspec.Struct, frozen=True, kw_only=True):
    """What a house may use in windows of the calendar and in a turn; no cap where none is named.

    Money needs `[prices]`; a model without a price counts towards the caps in tokens alone.
    """

    tokens_per_hour: Annotated[float | None, Number("tokens in an hour", 0.0, _MOST_TOKENS)] = None
    tokens_per_day: Annotated[float | None, Number("tokens in a day", 0.0, _MOST_TOKENS)] = None
    tokens_per_month: Annotated[float | None, Number("tokens in a month", 0.0, _MOST_TOKENS)] = None
    tokens_per_turn: Annotated[float | None, Number("tokens in a turn", 0.0, _MOST_TOKENS)] = None
    money_per_hour: Annotated[float | None, Number("money in an hour", 0.0, _MOST_MONEY)] = None
    money_per_day: Annotated[float | None, Number("money in a day", 0.0, _MOST_MONEY)] = None
    money_per_month: Annotated[float | None, Number("money in a month", 0.0, _MOST_MONEY)] = None
    money_per_turn: Annotated[float | None, Number("money in a turn", 0.0, _MOST_MONEY)] = None
    warn: Annotated[
        float, Number("share of a cap at which the house is warned", 0.0, 1.0, above=True)
    ] = 0.8
    on_trouble: Annotated[
        str,
        Word('what holds while the account cannot be kept: "go" on, or "stop"', ("go", "stop")),
    ] = "go"
