"""What needs attention: found where it is, once for each cause, and silent where nothing moves."""

import random
import time
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from timmyd.core.model import iso
from timmyd.report.attention import attention
from timmyd.report.attention_types import Attention, AttentionInput
from timmyd.report.falls import fallen
from timmyd.report.marks import spark
from timmyd.report.rhythm import days, failing_hours, week
from timmyd.store.trends import HourCount

NOW = 1_795_392_000.0
NOW_HOUR = int(NOW // 3_600)
FIRST = NOW_HOUR - 28 * 24
TOOLS = {"terminal": 0.9, "read_file": 0.98, "patch": 0.8, "web_search": 0.85}

Chance = Callable[[str, str, int], float]


def history(
    chance: Chance, *, houses: Iterable[str] = ("a", "b", "c"), seed: int = 1, calls: int = 2
) -> list[HourCount]:
    """Four weeks of calls by the hour; `chance` says how likely one succeeds at an hour."""
    draw = random.Random(seed)
    rows = []
    for hour in range(FIRST, NOW_HOUR):
        for house in houses:
            for tool in TOOLS:
                rated = draw.randrange(calls + 1)
                ok = sum(draw.random() < chance(house, tool, hour) for _ in range(rated))
                if rated:
                    rows.append(
                        HourCount(hour, house, tool, ok, rated, rated, rated, 100.0 * rated)
                    )
    return rows


def listed(rows: list[HourCount], **more: Any) -> list[Attention]:
    given_: dict[str, Any] = {"document": {}, "status": {}, "failing": []} | more
    return attention(AttentionInput(at=NOW, rows=rows, offset_s=lambda _: 0.0, iso=iso, **given_))


def steady(_house: str, tool: str, _hour: int) -> float:
    return TOOLS[tool]


def test_stationary_houses_need_no_attention() -> None:
    assert [one for seed in range(20) for one in listed(history(steady, seed=seed))] == []


def test_sessions_that_go_well_or_badly_as_a_whole_are_no_trouble() -> None:
    draw = random.Random(3)
    moods = {hour: draw.betavariate(9 * 0.4, 1 * 0.4) for hour in range(FIRST, NOW_HOUR)}
    found = 0
    for seed in range(10):
        found += len(listed(history(lambda _h, _t, hour: moods[hour], seed=seed, calls=4)))
    assert found <= 1


def test_a_tool_that_died_in_one_house_is_told_there() -> None:
    def chance(house: str, tool: str, hour: int) -> float:
        return (
            0.0 if (house, tool) == ("a", "web_search") and hour >= NOW_HOUR - 48 else TOOLS[tool]
        )

    (one,) = listed(history(chance))
    assert (one.house, one.subject) == ("a", "web_search")
    assert "is dead" in one.text
    assert one.since == iso((NOW_HOUR - 48) * 3_600.0)
    assert one.command == "timmyd explain a/web_search"


def test_a_backend_that_is_down_everywhere_is_one_line() -> None:
    def chance(_house: str, tool: str, hour: int) -> float:
        return 0.05 if tool == "web_search" and hour >= NOW_HOUR - 24 else TOOLS[tool]

    (one,) = listed(history(chance))
    assert (one.house, one.subject) == (None, "web_search")


def test_a_house_that_fell_as_a_whole_stands_for_its_tools() -> None:
    def chance(house: str, tool: str, hour: int) -> float:
        gone = (hour - FIRST) / (NOW_HOUR - FIRST)
        return TOOLS[tool] - (0.45 * gone if house == "b" else 0.0)

    (one,) = listed(history(chance))
    assert (one.house, one.subject) == ("b", "all tools")


def test_hours_in_which_a_provider_fails_are_found_beside_a_fall() -> None:
    def chance(house: str, tool: str, hour: int) -> float:
        if tool == "web_search" and 2 <= hour % 24 < 6:
            return 0.3
        return 0.2 if (house, tool) == ("c", "patch") and hour >= NOW_HOUR - 72 else TOOLS[tool]

    found = listed(history(chance))
    assert [(one.kind, one.house, one.subject) for one in found] == [
        ("fell", "c", "patch"),
        ("fails_at", None, "web_search"),
    ]
    assert "from 02:00 to 06:00" in found[1].text


def test_hours_that_failed_once_and_do_no_longer_are_not_told() -> None:
    def chance(_house: str, tool: str, hour: int) -> float:
        return 0.3 if 2 <= hour % 24 < 6 and hour < NOW_HOUR - 10 * 24 else TOOLS[tool]

    assert [one for one in listed(history(chance)) if one.kind == "fails_at"] == []


def test_the_hours_are_local() -> None:
    rows = [
        row
        for row in history(lambda _h, _t, hour: 0.3 if 2 <= hour % 24 < 6 else 0.9)
        if row.house == "a"
    ]
    block = failing_hours(rows, lambda _: 5 * 3_600.0, now=NOW)
    assert block is not None
    assert (block.begins, block.ends) == (7, 11)


def test_an_open_breaker_stands_for_the_fall_behind_it_and_comes_first() -> None:
    def chance(house: str, tool: str, hour: int) -> float:
        return 0.0 if (house, tool) == ("a", "patch") and hour >= NOW_HOUR - 48 else TOOLS[tool]

    breakers = [
        {
            "house": "a",
            "tool": "patch",
            "state": "open",
            "evidence": 900.0,
            "reason": "0 of 30 succeeded",
        },
        {"house": "b", "tool": "terminal", "state": "closed", "evidence": 296.0},
        {"house": "c", "tool": "terminal", "state": "closed", "evidence": 3.0},
    ]
    document = {"breaker_rule": {"open_at": 300.0}, "breakers": breakers}
    found = listed(history(chance), document=document)
    assert [one.kind for one in found] == ["breaker_open", "breaker_near"]
    assert "296 of 300" in found[1].text


def test_troubles_of_the_service_folders_and_files_are_in_the_list() -> None:
    status = {
        "troubles": ["the disk is full"],
        "folders": [
            {"path": "/never", "house": "c", "state": "missing", "reason": "vanished"},
            {"path": "/h", "house": "a", "state": "missing", "reason": None},
            {"path": "/g", "house": "b", "state": "open", "reason": None},
        ],
    }
    found = listed([], status=status, failing=[{"file": "x.json", "reason": "not_json"}] * 3)
    assert [one.kind for one in found] == ["service", "source", "file"] or [
        one.kind for one in found
    ] == ["service", "file", "source"]
    assert any("2 more files" in one.text for one in found)


def test_names_in_commands_cannot_do_anything_else() -> None:
    rows = [
        row._replace(tool="x; rm -rf ~")
        for row in history(lambda _h, _t, hour: 0.9 if hour < NOW_HOUR - 48 else 0.0)
        if row.tool == "patch" and row.house == "a"
    ]
    (one,) = listed(rows)
    assert one.command == "timmyd explain 'a/x; rm -rf ~'"


@pytest.mark.parametrize("rows", [[], history(steady)[:3]])
def test_too_little_says_nothing(rows: list[HourCount]) -> None:
    assert listed(rows) == []
    assert fallen(rows, lambda row: row.tool, now_hour=NOW_HOUR) is None


@given(st.lists(st.tuples(st.integers(FIRST, NOW_HOUR), st.integers(0, 3), st.integers(0, 3))))
@settings(max_examples=50)
def test_days_and_weeks_hold_every_call(items: list[tuple[int, int, int]]) -> None:
    rows = [
        HourCount(hour, "a", "t", ok, ok + failed, ok + failed, 0, 0.0)
        for hour, ok, failed in items
    ]
    found = days(rows, first=FIRST // 24, last=NOW_HOUR // 24)
    assert sum(day.rated for day in found) == sum(row.rated for row in rows)
    assert all((day.rate is None) == (day.rated == 0) for day in found)
    cells = [share for hours in week(rows, lambda _: 0.0) for share in hours]
    assert len(cells) == 168
    assert all(share is None or 0.0 <= share <= 1.0 for share in cells)


def test_what_is_unknown_is_a_gap_and_never_a_low_bar() -> None:
    assert spark([0.0, None, 0.5, 1.0]) == "▁ ▅█"
    assert spark([0.0, None, 0.5, 1.0], plain=True) == "_ =#"


def test_calls_of_the_future_make_no_fall_and_no_pattern() -> None:
    ahead = [
        HourCount(NOW_HOUR + 24 * day + hour, "a", "terminal", 0, 20, 20, 0, 0.0)
        for day in range(1, 400)
        for hour in range(3)
    ]
    assert [one.kind for one in listed(history(steady) + ahead)] == []


@pytest.mark.parametrize("zone_s", [-12_600.0, 0.0, 19_800.0, 37_800.0])
@pytest.mark.parametrize("begins", range(0, 24, 5))
@pytest.mark.parametrize("length", [1, 3, 9])
def test_the_hours_in_which_a_tool_fails_are_found_wherever_they_lie(
    zone_s: float, begins: int, length: int
) -> None:
    def local(hour: int) -> int:
        return int((hour * 3_600 + zone_s) // 3_600) % 24

    rows = history(lambda _h, _t, hour: 0.2 if (local(hour) - begins) % 24 < length else 0.95)
    block = failing_hours(rows, lambda _: zone_s, now=NOW)
    assert block is not None
    assert (block.begins, block.ends) == (begins, (begins + length) % 24)


def test_a_hundred_houses_of_two_hundred_tools_are_looked_through_in_seconds() -> None:
    draw = random.Random(7)
    rows = sorted(
        HourCount(
            draw.randrange(FIRST, NOW_HOUR), f"h{house}", f"t{tool}", ok, ok + 1, ok + 2, 0, 0.0
        )
        for house in range(100)
        for tool in range(200)
        for ok in (0, 1, 2, 9)
    )
    began = time.process_time()
    assert [one.kind for one in listed(rows)] == []
    assert time.process_time() - began < 10.0  # about 1 s
