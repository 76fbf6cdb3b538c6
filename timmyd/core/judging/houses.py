"""The keys that every house has, whether or not the settings name them (CONTRACT §3)."""

from collections.abc import Mapping
from typing import Final

from timmyd.core.judging.rules.base import PolicySpec
from timmyd.house.keys import HOUSE_KEYS, KEYS

NOT_ASKED: Final = 0.05
"""An evidence threshold so low holds nothing back, and is not published: the key is absent."""


def house_specs(house: str) -> dict[str, PolicySpec]:
    """The house keys of a house that is not one of the original's, by full key.

    Nothing is held back until a trial or a pin asks for evidence; the first step asks for as much
    as the key's own default.
    """
    found = {}
    for name, key in HOUSE_KEYS.items():
        default, least, step = key.default, key.least, key.step
        if name == "evidence_threshold":
            default, least, step = NOT_ASKED, NOT_ASKED, key.default - NOT_ASKED
        found[f"{house}.{name}"] = PolicySpec(
            default=default, least=least, most=key.most, step=step
        )
    return found


def moved(values: Mapping[str, float]) -> dict[str, float]:
    """What is published of the values: all but house keys that stand at what every house has anyway."""
    found = {}
    for key, value in values.items():
        usual = house_specs(key.partition(".")[0]).get(key)
        if key in KEYS or usual is None or value != usual.default:
            found[key] = value
    return found
