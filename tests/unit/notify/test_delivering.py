"""One destination that hangs delays no other, and a change of filters loses nothing that waits."""

import threading
from collections.abc import Sequence
from pathlib import Path

from tests.support import eventually
from tests.unit.notify.test_delivery import Rig
from timmyd.config import parse
from timmyd.core.alerts import Alert
from timmyd.notify.outbox import Wish
from timmyd.notify.wishes import named

KINDS = frozenset({"breaker_opened", "fell"})


class Place:
    """A destination that notes what it is told, once it is let."""

    def __init__(self) -> None:
        self.told: list[int] = []
        self.open = threading.Event()

    def deliver(self, events: Sequence[Alert], *, before: str = "") -> str:
        assert self.open.wait(60.0)
        self.told += [event.id for event in events]
        return before


class Broken(Place):
    """Raises what no destination should."""

    def deliver(self, events: Sequence[Alert], *, before: str = "") -> str:
        raise RuntimeError(before or events[0].kind)


def rig_of(tmp_path: Path, **places: Place) -> Rig:
    rig = Rig(tmp_path, "")
    rig.targets = {name: (Wish(name=name, on=KINDS), place) for name, place in places.items()}
    rig.runner = rig.start()
    rig.runner.step()
    return rig


def test_what_hangs_delays_no_other_and_gets_its_own_in_order(tmp_path: Path) -> None:
    slow, quick = Place(), Place()
    quick.open.set()
    rig = rig_of(tmp_path, slow=slow, quick=quick)
    for number in range(1, 6):
        rig.happens("fell", f"fell.ezra.t{number}")
        rig.later()
        assert len(quick.told) == number
    assert slow.told == []
    slow.open.set()

    def all_told() -> bool:
        rig.later()
        return len(slow.told) == 5

    eventually(all_told)
    assert slow.told == quick.told == sorted(quick.told)


def test_what_raises_anything_is_tried_again_and_the_others_are_told(tmp_path: Path) -> None:
    quick = Place()
    quick.open.set()
    rig = rig_of(tmp_path, broken=Broken(), quick=quick)
    rig.happens("fell", "fell.ezra.x")
    rig.later()
    assert len(quick.told) == 1
    (waiting,) = rig.runner.outbox.waiting
    assert (waiting.to, waiting.tries) == ("broken", 1)


def test_a_destination_keeps_its_name_when_its_filters_change() -> None:
    text = '[[notify]]\non = ["fell"]\nexec = ["/bin/true"]\n'
    changed = text + 'house = "ezra"\nleast = "info"\n'
    other = '[[notify]]\non = ["fell"]\nexec = ["/bin/false"]\n'
    assert [*named(parse(text, "t").notify)] == [*named(parse(changed, "t").notify)]
    names = [*named(parse(text + changed + other, "t").notify)]
    assert len(set(names)) == 3
    assert names[1] == f"{names[0]}-2"
