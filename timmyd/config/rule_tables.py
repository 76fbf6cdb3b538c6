"""The tables of the settings file about policy keys and the rules that move them."""

from typing import Annotated

import msgspec

from timmyd.config.kinds import Duration, Number
from timmyd.config.texts import HOUSE_NAME, Text, Word, Words
from timmyd.core.judging.rules.signals import GUARDS, SIGNALS
from timmyd.core.tasks import DEFAULT_TASKS
from timmyd.house.keys import HOUSE_KEYS, KEYS

_MODES = ("enforce", "observe")
_MOST = max(key.hard_most for key in (*KEYS.values(), *HOUSE_KEYS.values()))
"""No key has a larger value; each has bounds of its own."""


class PolicyTable(msgspec.Struct, frozen=True, kw_only=True):
    """Where a policy starts, and how far and in what steps a change may take it."""

    default: Annotated[float, Number("the value without any evidence", 0.0, _MOST)]
    least: Annotated[float, Number("no change goes below", 0.0, _MOST)]
    most: Annotated[float, Number("no change goes above", 0.0, _MOST)]
    step: Annotated[float, Number("size of one change", 0.0, _MOST, above=True)]
    pin: Annotated[float | None, Number("the value, whatever the evidence says", 0.0, _MOST)] = None


class RuleTable(msgspec.Struct, frozen=True, kw_only=True):
    """Move a policy one step when a signal is on the wrong side of its limit, as a trial.

    A table with the name of a shipped rule changes in that rule only what it says.
    """

    name: Annotated[
        str,
        Text(
            "what history and explain call it",
            "a rule name: 1 to 64 of a-z 0-9 _ -",
            "[a-z0-9_-]{1,64}",
        ),
    ]
    policy: Annotated[
        str,
        Text(
            'the policy that it moves; "*.<key>" is that of every house without a rule of its own'
        ),
    ]
    signal: Annotated[str, Word("what it watches", tuple(n for n in SIGNALS if n != "latency"))]
    house: Annotated[
        str | None,
        Text(
            "whose calls count; without it the policy's own house, or all",
            "a house name: 1 to 32 of a-z 0-9 _ -",
            HOUSE_NAME,
        ),
    ] = None
    task: Annotated[
        str | None, Word("only calls of this task type count", (*DEFAULT_TASKS, "other"))
    ] = None
    tool: Annotated[str | None, Text("only calls of this tool count")] = None
    limit: Annotated[
        float,
        Number(
            "the worst that can be borne: a share, or milliseconds; "
            'for "fallen" how far it may fall below its own level',
            0.0,
            1e9,
            above=True,
        ),
    ]
    side: Annotated[
        str,
        Word(
            'where the trouble lies; "fallen" is below its own level of the past',
            ("below", "above", "fallen"),
        ),
    ] = "below"
    direction: Annotated[str, Word("where the policy moves", ("lower", "raise"))]
    guard: Annotated[
        tuple[str, ...] | None,
        Words(
            "signals that must not get worse meanwhile",
            "one or a list of guards (" + ", ".join(sorted(GUARDS)) + ")",
            tuple(sorted(GUARDS)),
            single=True,
        ),
    ] = None
    cooldown_s: Annotated[float, Duration("rest after a kept change", "0s", "365d")] = 43_200.0
    mode: Annotated[
        str, Word('with "observe" it is said what would change, and nothing changes', _MODES)
    ] = "enforce"
