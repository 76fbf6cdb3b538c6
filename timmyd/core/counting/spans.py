"""Sets of whole numbers as ordered, separate spans: the lines that were taken of a run."""

from bisect import bisect_right
from operator import itemgetter


def take(spans: list[list[int]], first: int, last: int) -> bool:
    """Add the numbers `first` to `last` to ordered, separate spans; False if they start in one."""
    place = bisect_right(spans, first, key=itemgetter(0))
    before = spans[place - 1] if place else None
    if before is not None and first <= before[1]:
        before[1] = max(before[1], last)
        return False
    if before is not None and first == before[1] + 1:
        before[1] = last
    else:
        spans.insert(place, [first, last])
        before, place = spans[place], place + 1
    while place < len(spans) and spans[place][0] <= before[1] + 1:
        before[1] = max(before[1], spans.pop(place)[1])
    return True
