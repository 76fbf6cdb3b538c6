"""Which house an owner's calls count for."""

import pytest

from timmyd.core.ownership import house_for
from timmyd.house.keys import is_house

BOB = 1001


@pytest.mark.parametrize(
    ("claimed", "owner", "known", "house"),
    [
        ("ezra", "bob", {}, "ezra"),
        ("ezra", "bob", {"ezra": "bob"}, "ezra"),
        ("ezra", "bob", {"ezra": "alice"}, "bob-ezra"),
        ("ezra", "bob", {"ezra": "alice", "bob-ezra": "bob"}, "bob-ezra"),
        ("ezra", "bob", {"ezra": "alice", "bob-ezra": "mallory"}, "bob-ezra-0003e9"),
        ("ezra", "J. Doe", {"ezra": "alice"}, "j-doe-ezra"),
        ("ezra", "1001", {"ezra": "alice"}, "1001-ezra"),
        ("a" * 32, "bob", {"a" * 32: "alice"}, "bob-" + "a" * 21 + "-0003e9"),
        ("ezra", "\u1234", {"ezra": "alice"}, "user-ezra"),
    ],
)
def test_a_free_name_is_theirs_and_a_taken_one_gets_the_name_of_the_user(
    claimed: str, owner: str, known: dict[str, str], house: str
) -> None:
    found = house_for(claimed, owner, BOB, lambda name: known.get(name, owner) != owner)

    assert found == house
    assert is_house(found)


def test_whatever_others_took_before_a_name_is_found_that_nobody_has() -> None:
    taken = {"ezra", "bob-ezra"}
    for _ in range(20):
        found = house_for("ezra", "bob", BOB, taken.__contains__)
        assert found not in taken
        assert is_house(found)
        taken.add(found)


def test_without_a_uid_the_tail_is_of_the_name_of_the_owner() -> None:
    taken = {"a" * 32}

    names = {house_for("a" * 32, owner, None, taken.__contains__) for owner in ("bob", "bobby")}

    assert len(names) == 2
