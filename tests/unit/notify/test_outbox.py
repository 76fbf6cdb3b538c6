"""What is told to whom and when: each event once or again, never lost, in its order, quiet at night."""

from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, strategies as st

from timmyd.core.alerts import ENDS, KINDS, Alert, alert_of, printable
from timmyd.core.model import AdaptationEvent
from timmyd.notify.outbox import GIVE_UP_S, MOST_WAITING, Outbox, Wish

NOON = datetime(2027, 5, 4, 12, tzinfo=UTC).timestamp()
ALL = frozenset(KINDS)


def alert(
    number: int, kind: str = "breaker_opened", subject: str = "breaker.ezra.terminal"
) -> Alert:
    found = alert_of(
        AdaptationEvent(
            id=number,
            timestamp="2027-05-04T12:00:00Z",
            trigger="breaker",
            change_type=subject,
            old_value="closed",
            new_value="open",
            reason="3 of 41 succeeded",
            kind=kind,
        )
    )
    assert found is not None
    return found


def wish(name: str = "a", **more: object) -> Wish:
    return msgspec.structs.replace(Wish(name=name, on=ALL), **more)


def take(
    box: Outbox, *alerts: Alert, wishes: tuple[Wish, ...] = (wish(),), now: float = NOON
) -> None:
    box.take(alerts, wishes, now, UTC)


def test_ten_breakers_of_one_cause_are_one_message() -> None:
    box = Outbox()
    take(box, *(alert(n, subject=f"breaker.ezra.tool{n}") for n in range(10)))
    assert not box.due(NOON)
    (message,) = box.due(NOON + 5.0)
    assert [one.id for one in message.events] == list(range(10))


def test_only_what_is_wanted_is_told() -> None:
    box = Outbox()
    take(box, alert(1), wishes=(wish(on=frozenset({"fell"})), wish("b", house="bezalel")))
    take(box, alert(2, "tried", "policy.ezra.evidence_threshold"), wishes=(wish(),))
    assert not box.waiting
    take(box, alert(3, "breaker_closed"))
    assert box.waiting, "the end of a trouble is told although it is only info"


@pytest.mark.parametrize(
    ("hour", "held"), [(21, False), (22, True), (3, True), (6, True), (7, False), (12, False)]
)
def test_at_night_all_but_what_is_critical_waits_until_morning(hour: int, held: bool) -> None:
    quiet = wish(quiet=(time(22), time(7)))
    now = datetime(2027, 5, 4, hour, 30, tzinfo=UTC).timestamp()
    box = Outbox()
    take(box, alert(1), wishes=(quiet,), now=now)
    take(box, alert(2, "service_trouble", "service.disk"), wishes=(quiet,), now=now)
    due = [one.events[0].kind for one in box.due(now + 10)]
    assert due == (["service_trouble"] if held else ["breaker_opened", "service_trouble"])
    morning = datetime(2027, 5, 5, 7, tzinfo=UTC).timestamp() + 1
    assert len(box.due(morning)) == 2


def test_quiet_hours_are_those_of_the_zone() -> None:
    box, zone = Outbox(), ZoneInfo("Pacific/Auckland")
    box.take([alert(1)], [wish(quiet=(time(22), time(7)))], NOON, zone)
    assert box.waiting[0].due == pytest.approx(NOON + 7 * 3600.0)


def test_a_message_is_tried_with_growing_waits_for_a_day_and_blocks_only_its_own_destination() -> (
    None
):
    box = Outbox()
    take(box, alert(1), wishes=(wish("a"), wish("b")))
    now, tries = NOON + 3, 0
    first = next(one for one in box.due(now) if one.to == "a")
    box.begin(first)
    while not box.failed(first, now):
        take(
            box, alert(2, "fell", "fell.ezra.x"), wishes=(wish("a"),), now=now
        ) if not tries else None
        assert all(one.to != "a" for one in box.due(now))
        tries += 1
        now = first.due
        box.begin(first)
    assert now - NOON >= GIVE_UP_S
    assert 20 < tries < 60
    assert box.lost == 1
    assert [one.to for one in box.due(now)] == ["b", "a"]


def test_a_trouble_is_told_once_until_it_is_over_and_its_answer_kept() -> None:
    box, once = Outbox(), wish(once=True)
    take(box, alert(1), wishes=(once,))
    (message,) = box.due(NOON)
    box.sent(message, '{"number": 17}')
    take(box, alert(2), wishes=(once,))
    assert not box.waiting, "it is still the same trouble"
    take(box, alert(3, "breaker_closed"), wishes=(once,))
    (end,) = box.due(NOON)
    assert box.answer_to(end) == '{"number": 17}'
    box.sent(end)
    take(box, alert(4, "breaker_closed"), wishes=(once,))
    assert not box.waiting, "it was over already"
    take(box, alert(5), wishes=(once,))
    assert box.waiting, "and may begin anew"


def test_every_end_belongs_to_a_beginning() -> None:
    assert set(ENDS) | set(ENDS.values()) <= set(KINDS)
    for end, begin in ENDS.items():
        assert alert(1, end).trouble == alert(2, begin).trouble


def test_names_are_made_harmless_before_they_are_told() -> None:
    hostile = alert(1, subject="breaker.ezra.\x1b[2J\u202etool")
    assert hostile.subject.isprintable()
    assert len(printable("x" * 9_000)) == 400


@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(KINDS)), st.sampled_from("xyz"), st.booleans()),
        max_size=40,
    )
)
def test_whatever_comes_is_sent_in_order_or_waits(steps: list[tuple[str, str, bool]]) -> None:
    box, now, out = Outbox(), NOON, list[int]()
    for number, (kind, subject, works) in enumerate(steps, 1):
        now += 3.0
        take(
            box,
            alert(number, kind, f"breaker.ezra.{subject}"),
            wishes=(wish(least="info"),),
            now=now,
        )
        box = msgspec.json.decode(msgspec.json.encode(box), type=Outbox)
        for message in box.due(now + 3.0):
            if works:
                box.sent(message)
                out += [one.id for one in message.events]
            else:
                box.failed(message, now)
                break
    waiting = [one.id for message in box.waiting for one in message.events]
    assert sorted([*out, *waiting]) == list(range(1, len(steps) + 1))


def test_what_waits_is_bounded() -> None:
    box = Outbox()
    for number in range(3 * MOST_WAITING):
        kind = "fell" if number % 2 else "breaker_opened"
        take(box, alert(number, kind), wishes=(wish(once=False),), now=NOON + 10.0 * number)
        for message in box.waiting[-1:]:
            message.tries = 1
    assert len(box.waiting) == MOST_WAITING
    assert box.lost == 2 * MOST_WAITING
