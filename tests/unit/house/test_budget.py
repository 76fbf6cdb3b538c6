"""Caps hold for all processes of a house, without the daemon, and whatever happens to the ledger."""

import json
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from timmyd.house.budget import LEDGER_FILE, OWN_FILE, Budget, Usage
from timmyd.house.ledger import (
    CAPS,
    Ledger,
    LedgerError,
    Spent,
    caps_of,
    lower,
    money_of,
    window_ends,
)

AT = datetime(2027, 3, 14, 15, 30, tzinfo=UTC).timestamp()
HOUR, DAY = 3600.0, 86400.0


def budget(folder: Path, now: list[float] | None = None, **table: object) -> Budget:
    clock = now or [AT]
    one = Budget(folder, clock=lambda: clock[0])
    one.publish({"zone": "UTC", **table})
    return one


def spend(one: Budget, tokens: float, turn: str = "t", model: str = "m") -> bool:
    verdict = one.before(turn)
    if verdict.allowed:
        one.over(verdict.ticket, turn, model, Usage(tokens, 0.0))
    return verdict.allowed


def test_a_cap_stops_at_its_limit_and_begins_anew_with_its_window(tmp_path: Path) -> None:
    now = [AT]
    one = budget(tmp_path, now, caps={"tokens_per_day": 5_000})
    assert [spend(one, 1_000) for _ in range(7)] == [True] * 5 + [False] * 2
    verdict = one.before("t")
    assert verdict.reached is not None
    assert (verdict.reached.cap, verdict.reached.used) == ("tokens_per_day", 5_000)
    assert verdict.resets_at == datetime(2027, 3, 15, tzinfo=UTC)
    now[0] = datetime(2027, 3, 15, tzinfo=UTC).timestamp() + 1
    assert spend(one, 1_000)


def test_a_turn_has_a_cap_of_its_own(tmp_path: Path) -> None:
    one = budget(tmp_path, caps={"tokens_per_turn": 2_000})
    assert [spend(one, 1_000, "a") for _ in range(3)] == [True, True, False]
    assert spend(one, 1_000, "b")


def test_money_counts_where_a_price_is_known_and_the_rest_is_told(tmp_path: Path) -> None:
    one = budget(tmp_path, caps={"money_per_day": 1.0}, prices={"dear": {"in": 10.0, "out": 30.0}})
    assert spend(one, 100_000, model="free of price")
    assert spend(one, 100_000, model="dear")
    assert not spend(one, 1, model="dear")
    assert json.loads((tmp_path / LEDGER_FILE).read_bytes())["unpriced"] == 1


def test_at_80_percent_it_warns(tmp_path: Path) -> None:
    one = budget(tmp_path, caps={"tokens_per_hour": 1_000, "tokens_per_month": 9_000})
    assert one.before("t").reached is None
    spend(one, 800)
    reached = one.before("t").reached
    assert reached is not None
    assert reached.cap == "tokens_per_hour"


def test_what_is_under_way_counts_as_the_biggest_call_of_the_day(tmp_path: Path) -> None:
    one = budget(tmp_path, caps={"tokens_per_day": 4_000})
    spend(one, 1_000)
    assert [one.before("t").allowed for _ in range(5)] == [True, True, True, False, False]


def test_a_request_that_failed_gives_its_reservation_back(tmp_path: Path) -> None:
    one = budget(tmp_path, caps={"tokens_per_day": 2_000})
    spend(one, 1_000)
    one.released(one.before("t").ticket)
    assert one.standing()[0].used == 1_000


def test_a_request_whose_usage_nobody_tells_counts_as_the_biggest(tmp_path: Path) -> None:
    one = budget(tmp_path, caps={"tokens_per_day": 9_000})
    spend(one, 1_000)
    one.over(one.before("t").ticket, "t", "m", None)
    assert one.standing()[0].used == 2_000


def test_the_reservation_of_a_killed_process_is_let_go(tmp_path: Path) -> None:
    one = budget(tmp_path, caps={"tokens_per_day": 3_000})
    spend(one, 1_000)
    code = (
        "import sys; from pathlib import Path; from timmyd.house.budget import Budget\n"
        f"b = Budget(Path(sys.argv[1]), clock=lambda: {AT}); b.before('t'); b.before('t')"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=60)
    assert one.standing()[0].used == 1_000


def test_the_caps_hold_without_the_daemon_and_the_house_may_only_lower_them(tmp_path: Path) -> None:
    budget(tmp_path, caps={"tokens_per_day": 3_000, "tokens_per_hour": 9_000})
    (tmp_path / OWN_FILE).write_text('{"caps": {"tokens_per_day": 1000000, "tokens_per_hour": 7}}')
    later = Budget(tmp_path, clock=lambda: AT)
    assert later.load() == {"tokens_per_day": 3_000, "tokens_per_hour": 7}
    later.publish(None)
    assert later.load() == {"tokens_per_day": 1_000_000, "tokens_per_hour": 7}


@pytest.mark.parametrize("damage", [b"{", b"null", b'{"schema":"timmy.ledger/1"}', b"\0" * 99])
def test_a_damaged_ledger_lets_calls_pass_and_says_so(tmp_path: Path, damage: bytes) -> None:
    one = budget(tmp_path, caps={"tokens_per_day": 3_000})
    (tmp_path / LEDGER_FILE).write_bytes(damage)
    assert spend(one, 1_000)
    assert "damaged" in one.trouble
    assert one.standing()[0].used == 1_000, "and the account goes on from there"


def test_a_damaged_ledger_stops_calls_where_the_operator_asked_for_it(tmp_path: Path) -> None:
    one = budget(tmp_path, caps={"tokens_per_day": 3_000}, on_trouble="stop")
    (tmp_path / LEDGER_FILE).write_bytes(b"{")
    assert not one.before("t").allowed
    assert (tmp_path / LEDGER_FILE).read_bytes() == b"{"


def test_a_folder_that_cannot_be_made_lets_calls_pass(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    one = Budget(tmp_path / "file" / "timmy", clock=lambda: AT)
    one.publish({"caps": {"tokens_per_day": 1}})
    assert one.before("t").allowed


def test_eight_threads_overshoot_by_no_more_than_what_is_in_flight(tmp_path: Path) -> None:
    budget(tmp_path, caps={"tokens_per_day": 20_000})
    spent: list[float] = []

    def work() -> None:
        one = Budget(tmp_path, clock=lambda: AT)
        spent.extend(100.0 for _ in range(40) if spend(one, 100.0))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 20_000 <= sum(spent) <= 20_000 + 8 * 100


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_a_ledger_error(data: bytes) -> None:
    try:
        Ledger.load(data)
    except LedgerError:
        return
    raise AssertionError(data)


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 100), st.booleans()), max_size=30))
def test_what_was_written_is_read_and_windows_add_up(
    calls: list[tuple[float, float, bool]],
) -> None:
    ledger = Ledger()
    ledger.roll(datetime.fromtimestamp(AT, UTC))
    for number, (tokens, money, settled) in enumerate(calls):
        ledger.reserve(str(number), pid=os.getpid(), born="1", at=AT, turn="t")
        if settled:
            ledger.settle(str(number), tokens=tokens, money=money, at=AT, turn="t")
    again = Ledger.load(ledger.dump())
    assert again.dump() == ledger.dump()
    total = sum(tokens for tokens, _, settled in calls if settled)
    assert again.windows["day"][1].tokens == pytest.approx(total)
    assert len(again.reserved) == sum(not settled for _, _, settled in calls)


def test_a_clock_set_back_or_ahead_keeps_no_reservation_for_ever() -> None:
    ledger = Ledger()
    ledger.reserve("a", pid=1, born="x", at=AT + DAY, turn="")
    ledger.drop_dead(AT, lambda _pid, _born: True)
    assert not ledger.reserved


def test_a_clock_a_little_behind_lets_go_of_no_reservation_of_another_process() -> None:
    ledger = Ledger()
    ledger.reserve("a", pid=1, born="x", at=AT, turn="")
    ledger.drop_dead(AT - 2.0, lambda _pid, _born: True)
    assert ledger.reserved


@pytest.mark.parametrize("window", ["hour", "day", "month"])
@pytest.mark.parametrize("apart_s", [-3.0, 3.0])
def test_two_clocks_around_the_end_of_a_window_empty_it_once(
    tmp_path: Path, window: str, apart_s: float
) -> None:
    now = [datetime(2027, 3, 31, 23, 59, 50, tzinfo=UTC).timestamp()]
    caps = {f"tokens_per_{window}": 5_000}
    first = budget(tmp_path, now, caps=caps)
    second = Budget(tmp_path, clock=lambda: now[0] + apart_s)
    spent = 0
    for _ in range(20):
        spent += spend(first, 1_000) + spend(second, 1_000)
        now[0] += 1.0
    assert spent == 10


def test_two_processes_in_two_zones_spend_from_one_account(tmp_path: Path) -> None:
    zones = ("Europe/Berlin", "Asia/Tokyo", "Asia/Kolkata")
    caps = {"tokens_per_hour": 50_000, "tokens_per_day": 5_000, "tokens_per_month": 50_000}
    spent = 0
    for turn in range(12):
        one = budget(tmp_path, [datetime(2027, 3, 31, 16, 30, turn, tzinfo=UTC).timestamp()])
        one.publish({"zone": zones[turn % 3], "caps": caps})
        spent += spend(one, 1_000)
    assert spent == 6  # one before the day began in the first of the zones


def test_a_clock_that_was_far_ahead_leaves_no_window_that_never_ends(tmp_path: Path) -> None:
    now = [AT + 400 * DAY]
    one = budget(tmp_path, now, caps={"tokens_per_hour": 1_000, "tokens_per_month": 1_000})
    assert [spend(one, 1_000), spend(one, 1_000)] == [True, False]
    now[0] = AT
    assert [spend(one, 1_000), spend(one, 1_000)] == [True, False]


def test_the_hour_that_comes_twice_in_october_is_two_windows() -> None:
    from zoneinfo import ZoneInfo

    zone = ZoneInfo("Europe/Berlin")
    first = datetime(2026, 10, 25, 0, 30, tzinfo=UTC).astimezone(zone)
    second = datetime(2026, 10, 25, 1, 30, tzinfo=UTC).astimezone(zone)
    ledger = Ledger()
    ledger.roll(first)
    ledger.settle("", tokens=5, money=None, at=AT, turn="")
    ledger.roll(second)
    assert ledger.windows["hour"][1] == Spent()
    assert ledger.windows["day"][1].tokens == 5


def test_windows_end_with_the_calendar() -> None:
    moment = datetime(2027, 1, 31, 23, 59, tzinfo=UTC)
    assert window_ends("tokens_per_hour", moment) == datetime(2027, 2, 1, tzinfo=UTC)
    assert window_ends("money_per_day", moment) == datetime(2027, 2, 1, tzinfo=UTC)
    assert window_ends("money_per_month", moment) == datetime(2027, 2, 1, tzinfo=UTC)
    assert window_ends("tokens_per_turn", moment) is None


def test_what_is_no_sane_cap_is_left_out() -> None:
    table = {"tokens_per_day": -1, "money_per_day": True, "tokens_per_hour": "9", "x": 3}
    assert caps_of(table) == {}
    assert caps_of(None) == {}
    assert len(caps_of(dict.fromkeys(CAPS, 7))) == 8


def test_of_two_sets_of_caps_the_lower_holds() -> None:
    assert lower({"tokens_per_day": 5}, {"tokens_per_day": 3, "money_per_day": 1}) == {
        "tokens_per_day": 3,
        "money_per_day": 1,
    }


def test_money_is_unknown_without_a_price() -> None:
    assert money_of({"m": {"in": 1.0, "out": 2.0}}, "m", 1_000_000, 500_000) == 2.0
    assert money_of({"m": {"in": 1.0}}, "m", 1, 1) is None
    assert money_of({}, "m", 1, 1) is None
