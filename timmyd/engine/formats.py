"""Which form each part of the learned state is kept in, and what becomes of a part of an older form."""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

import msgspec

from timmyd.errors import StoreError

FORMATS: Final[Mapping[str, int]] = {
    "judgement": 2,
    "breakers": 1,
    "fallbacks": 1,
    "estimates": 2,
    "choices": 2,
    "retries": 1,
    "notices": 1,
}
"""The form of each part that this version writes.

Whoever changes a part so that bytes of before cannot be read any more adds one to its number, and
that is all: the part is then settled as `FATES` says, the operator is told, and nobody is asked.
"""

Fate = Literal["carried over", "rebuilt", "begun anew"]

FATES: Final[Mapping[str, Fate]] = {
    "judgement": "carried over",  # values, pins; a running trial ends; evidence begins anew
    "breakers": "carried over",  # what cannot be read of one is as if it were not there
    "fallbacks": "begun anew",  # hours at most
    "estimates": "rebuilt",  # and its scores begin anew: those of another predictor are not its own
    "choices": "rebuilt",
    "retries": "rebuilt",
    "notices": "rebuilt",
}
"""What becomes of a part of an older form; `rebuilt` is from the rows, slice by slice."""

_KEY: Final = "formats"
_BEFORE_FORMATS: Final[Mapping[str, int]] = {
    "judgement": 1,
    "breakers": 1,
    "fallbacks": 1,
    "estimates": 0,
    "choices": 0,
    "retries": 0,
    "notices": 0,
}


class Settled(NamedTuple):
    """What became of one part that was not of today's form."""

    part: str
    form: int
    fate: Fate


def dump_formats() -> dict[str, bytes]:
    """To be kept beside the parts, always in the same transaction."""
    return {_KEY: msgspec.json.encode(dict(FORMATS))}


def formats_of(states: Mapping[str, bytes]) -> dict[str, int]:
    """The form of each part that was kept; empty where nothing was."""
    raw = states.get(_KEY)
    if raw is not None:
        return msgspec.json.decode(raw, type=dict[str, int])
    return dict(_BEFORE_FORMATS) if "judgement" in states else {}


def check_formats(states: Mapping[str, bytes], path: str) -> None:
    """Raise where a part is of a newer form than this version can know.

    Raises:
        StoreError: With the way out.
    """
    for part, form in formats_of(states).items():
        if form > FORMATS.get(part, 0):
            raise StoreError(
                path,
                f"what it has learned ({part}) is of form {form}, this timmyd knows up to"
                f" {FORMATS.get(part, 0)}",
                hint="install the newer timmyd again, or restore a backup made by this one:"
                " timmyd db restore FILE",
            )


def settled(states: Mapping[str, bytes]) -> list[Settled]:
    """The parts that are not of today's form, and what becomes of each."""
    kept = formats_of(states)
    return [
        Settled(part, kept.get(part, 0), FATES[part])
        for part, form in FORMATS.items()
        if kept and kept.get(part, 0) != form
    ]
