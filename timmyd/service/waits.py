"""How long to leave a thing alone that could not be read: twice as long each time, longer if it was dear."""

from typing import Final

SHARE_OF_TROUBLE: Final = 0.05
"""Of our time, at most, goes into a thing that costs much and gives nothing."""

_DOUBLINGS_MOST: Final = 30


def growing_s(first_s: float, most_s: float, failures: int, *, cost_s: float = 0.0) -> float:
    """The wait after a failure, in seconds.

    Args:
        first_s: After the first failure.
        most_s: Never more than this, but for what it costs.
        failures: How many there were in a row; 0 waits for nothing.
        cost_s: What the last try took.
    """
    if failures < 1:
        return 0.0
    doubled = first_s * (1 << min(failures - 1, _DOUBLINGS_MOST))
    return max(min(doubled, most_s), cost_s / SHARE_OF_TROUBLE)
