"""Where two sequences of calls overlap: the copies that compaction, rotation and branching make.

A token stands for the id, the tool and the arguments of a call. A wild token (facts None) is a copy
whose arguments were cut: only its id counts.
"""

from collections.abc import Sequence

Token = tuple[int, int | None]

_MOST_WILD = 256


def common_start(left: Sequence[Token], right: Sequence[Token]) -> int:
    """How many tokens both begin with."""
    size = 0
    for one, other in zip(left, right, strict=False):
        if not _same(one, other):
            break
        size += 1
    return size


def overlap(first: Sequence[Token], second: Sequence[Token]) -> int:
    """The greatest n such that the last n of `first` are the first n of `second`.

    Linear, by the prefix function of Knuth, Morris and Pratt; with wild tokens, whose equality is
    not transitive, by trial over at most the nearest 256.
    """
    if any(facts is None for _, facts in (*first, *second)):
        most = min(len(first), len(second), _MOST_WILD)
        return next((n for n in range(most, 0, -1) if common_start(first[-n:], second[:n]) == n), 0)
    size = min(len(first), len(second))
    joined: list[Token | None] = [*second[:size], None, *first[len(first) - size :]]
    borders = [0] * len(joined)
    for place in range(1, len(joined)):
        border = borders[place - 1]
        while border and joined[place] != joined[border]:
            border = borders[border - 1]
        borders[place] = border + 1 if joined[place] == joined[border] else 0
    return borders[-1] if size else 0


def _same(one: Token, other: Token) -> bool:
    return one[0] == other[0] and (one[1] == other[1] or one[1] is None or other[1] is None)
