"""The calls of models since the last look, from what is counted by the hour."""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

RECENT_S: Final = 3600.0
"""Calls of models are news for an hour; what comes in later opens and closes nothing."""

_MOST: Final = 200
"""Calls of one house and model that one look takes in; more of them say the same."""

_KEPT_HOURS: Final = 3

RequestRow = tuple[int, str, str, int, int]
"""Hour (since 1970), house, model, answered, failed."""


class Requests:
    """How many calls of each hour, house and model were looked at."""

    def __init__(self, seen: Iterable[RequestRow] = ()) -> None:
        self._seen = {row[:3]: (row[3], row[4]) for row in seen}

    def since(self, totals: Iterable[RequestRow]) -> list[RequestRow]:
        """What was counted since the last `take`: the same rows, less what was looked at."""
        found: list[RequestRow] = []
        for hour, house, model, answered, failed in totals:
            good, bad = self._seen.get((hour, house, model), (0, 0))
            if answered > good or failed > bad:
                found.append((hour, house, model, max(0, answered - good), max(0, failed - bad)))
        return found

    def take(self, rows: Sequence[RequestRow]) -> list[tuple[str, str, list[bool]]]:
        """Mark rows of `since` as looked at; returns (house, model, whether each call was answered).

        Hours do not tell the order, so failures are spread evenly among the calls.
        """
        found = []
        for hour, house, model, answered, failed in rows:
            good, bad = self._seen.get((hour, house, model), (0, 0))
            self._seen[hour, house, model] = (good + answered, bad + failed)
            found.append((house, model, _spread(answered, failed)))
        newest = max((key[0] for key in self._seen), default=0)
        for key in [key for key in self._seen if key[0] <= newest - _KEPT_HOURS]:
            del self._seen[key]
        return found

    def dump(self) -> bytes:
        """All that a restart needs."""
        return msgspec.json.encode([(*key, *counts) for key, counts in self._seen.items()])

    @classmethod
    def load(cls, data: bytes | None) -> "Requests":
        """The inverse of `dump`; nothing was looked at where there is none."""
        return cls(msgspec.json.decode(data, type=list[RequestRow]) if data else ())


def _spread(answered: int, failed: int) -> list[bool]:
    total = answered + failed
    shown = min(total, _MOST)
    bad = round(shown * failed / total) if total else 0
    return [(n * bad) // shown == ((n + 1) * bad) // shown for n in range(shown)]
