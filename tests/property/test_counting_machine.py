"""The short form of `python -m tests.property.counting --steps 100000`."""

from tests.property.counting import run


def test_whatever_agents_leave_in_whatever_order_it_is_read_each_call_is_counted_once() -> None:
    run(1_200, steps_a_world=30, always_the_same=True)
