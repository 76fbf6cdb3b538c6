"""PURE: what moves and should not: houses and tools that fell, and hours in which a tool fails."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from timmyd.report import words
from timmyd.report.attention_types import Attention, AttentionInput, explain, grouped_by, predict
from timmyd.report.falls import Fall, fallen
from timmyd.report.rhythm import Block, failing_hours
from timmyd.store.trends import HourCount

_MOST_TOOLS: Final = 60
_MOST_HOUSES: Final = 20
"""Looked at hour by hour, of each tool: those with the most failures."""

_DEAD: Final = 0.1
_APART: Final = 0.25


def falls(given: AttentionInput) -> Iterable[Attention]:
    """Houses and tools that fell; each cause once."""
    now_hour = int(given.at // 3_600)
    by_house = grouped_by(given.rows, lambda row: row.house)
    by_tool = grouped_by(given.rows, lambda row: row.tool)
    whole: dict[str, Fall] = {}
    everywhere: dict[str, Fall] = {}
    for house, rows in by_house.items():
        fall = fallen(rows, lambda row: row.tool, now_hour=now_hour)
        if fall is not None and fall.widespread:
            whole[house] = fall
    for tool, rows in by_tool.items():
        rest = [row for row in rows if row.house not in whole]
        fall = fallen(rest, lambda row: row.house, now_hour=now_hour)
        if fall is not None and fall.widespread:
            everywhere[tool] = fall
    for house, fall in whole.items():
        yield _fell(given, fall, house, "all tools", "timmyd report --days 28")
    for tool, fall in everywhere.items():
        yield _fell(given, fall, None, tool, predict(tool))
    yield from _single_falls(given, by_house, whole, everywhere)


def _single_falls(
    given: AttentionInput,
    by_house: Mapping[str, Sequence[HourCount]],
    whole: Mapping[str, Fall],
    everywhere: Mapping[str, Fall],
) -> Iterable[Attention]:
    """Tools that fell in one house, unless the house or the tool as a whole says it already."""
    now_hour = int(given.at // 3_600)
    for house, rows in by_house.items():
        for tool, mine in grouped_by(rows, lambda row: row.tool).items():
            fall = fallen(mine, lambda row: row.tool, now_hour=now_hour)
            if fall is None or tool in everywhere:
                continue
            drop, of_house = fall.was - fall.now, whole.get(house)
            if of_house is None or drop > of_house.was - of_house.now + _APART:
                yield _fell(given, fall, house, tool, explain(house, tool))


def _fell(
    given: AttentionInput, fall: Fall, house: str | None, subject: str, command: str
) -> Attention:
    state = "is dead" if fall.now < _DEAD else "fell"
    where = "in all houses" if house is None else f"in {words.name(house)}"
    name = words.name(subject) if subject != "all tools" else "everything"
    return Attention(
        kind="fell",
        severity="warning",
        house=house,
        subject=subject,
        text=f"{name} {where} {state}: {words.percent(fall.was)} before, {words.percent(fall.now)}"
        f" of {words.plural(fall.rated, 'call')} in the last {words.plural(fall.days, 'day')}",
        since=given.iso(fall.since * 3_600.0),
        lost_a_day=round(fall.lost_a_day, 2),
        command=command,
    )


def failing_at_hours(given: AttentionInput) -> Iterable[Attention]:
    """Tools that fail at some hours of the day: everywhere, or in one house."""
    by_tool = grouped_by(given.rows, lambda row: row.tool)
    ranked = sorted(by_tool.items(), key=_by_failures)[:_MOST_TOOLS]
    for tool, rows in ranked:
        block = failing_hours(rows, given.offset_s, now=given.at)
        if block is not None:
            yield _fails_at(block, None, tool)
            continue
        worst = sorted(grouped_by(rows, lambda row: row.house).items(), key=_by_failures)
        for house, mine in worst[:_MOST_HOUSES]:
            block = failing_hours(mine, given.offset_s, now=given.at)
            if block is not None:
                yield _fails_at(block, house, tool)


def _fails_at(block: Block, house: str | None, tool: str) -> Attention:
    where = "in all houses" if house is None else f"in {words.name(house)}"
    return Attention(
        kind="fails_at",
        severity="warning",
        house=house,
        subject=tool,
        text=f"{words.name(tool)} {where} fails from {block.begins:02d}:00 to {block.ends:02d}:00:"
        f" {words.percent(block.rate)} of {words.plural(block.rated, 'call')} on"
        f" {words.plural(block.days, 'day')}, {words.percent(block.others)} at other hours",
        lost_a_day=round(block.lost_a_day, 2),
        command=predict(tool),
    )


def _by_failures(item: tuple[str, Sequence[HourCount]]) -> int:
    return sum(row.ok - row.rated for row in item[1])
