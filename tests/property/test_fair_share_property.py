"""What does not fit goes by one rule: it fits afterwards, and who takes no more than a share loses nothing."""

import json
from typing import Any

from hypothesis import given, settings, strategies as st

from tests.unit.house.documents import PUBLISHED_AT, figures, open_breaker
from timmyd.core.fair_share import within
from timmyd.core.policy import PolicyDocument, as_json
from timmyd.core.publishing import build

OWNERS = ("alice", "bob", "carol")
HOUSES = {f"{owner}-{n}": owner for owner in OWNERS for n in range(2)}
ORDER = ("remedies", "arguments", "shapes", "retries", "notices", "predictions", "closed")
SMALL = st.integers(0, 12)


def _size(value: object) -> int:
    return len(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode())


def _parts(house: str, counts: list[int]) -> dict[str, Any]:
    tools, shapes, exact, retries, notices, remedies, closed = counts
    arguments = {f"{n:016x}": figures(0.1, samples=n) for n in range(exact)}
    shape = {
        f"shape {n}": {**figures(0.4, samples=n), **({"arguments": arguments} if n == 0 else {})}
        for n in range(shapes)
    }
    helped = [{"tool": "terminal", "shape": "git pull", "success": 0.9, "samples": 20, "lift": 0.4}]
    fell = {"house": house, "from": 0.9, "to": 0.1, "since": PUBLISHED_AT}
    return {
        "predictions": {
            house: {f"t{n}": {**figures(0.5, samples=n), "shapes": shape} for n in range(tools)}
        },
        "retries": {
            house: {f"t{n}": {"after": [0.5], "limit": 3, "samples": [n]} for n in range(retries)}
        },
        "notices": [{**fell, "tool": f"t{n}", "evidence": float(n)} for n in range(notices)],
        "remedies": {house: {f"failure {n}": helped for n in range(remedies)}},
        "breakers": [
            open_breaker(tool=f"{house} {n}", house=house, state="closed", evidence=float(n))
            for n in range(closed)
        ],
    }


@st.composite
def documents(draw: st.DrawFn) -> PolicyDocument:
    whole: dict[str, Any] = {"breakers": [], "notices": []}
    for house in HOUSES:
        counts = draw(st.lists(SMALL, min_size=7, max_size=7))
        for key, value in _parts(house, counts).items():
            if isinstance(value, list):
                whole[key] += value
            else:
                whole.setdefault(key, {}).update(value)
    whole["breakers"] += [open_breaker(tool="open", house=house) for house in HOUSES]
    return build(
        revision=1, published_at=PUBLISHED_AT, data_through=None, life_s=900.0, mode="enforce",
        policies={}, models={}, routes={}, breaker_rule={}, trials=[], why={}, **whole,
    )  # fmt: skip


def _of(document: PolicyDocument, owner: str) -> dict[str, Any]:
    """All that is of the houses of one owner."""
    data = as_json(document)
    mine = [house for house, known in HOUSES.items() if known == owner]
    found: dict[str, Any] = {
        key: {house: data[key][house] for house in mine if house in data[key]}
        for key in ("predictions", "retries", "remedies")
    }
    for key in ("notices", "breakers"):
        found[key] = [item for item in data[key] if item["house"] in mine]
    return found


def _left(of: dict[str, Any]) -> dict[str, int]:
    """How many entries of each kind there are, in the order in which they go."""
    tools = [tool for house in of["predictions"].values() for tool in house.values()]
    shapes = [shape for tool in tools for shape in tool["shapes"].values()]
    return {
        "remedies": sum(map(len, of["remedies"].values())),
        "arguments": sum(len(shape.get("arguments", {})) for shape in shapes),
        "shapes": len(shapes),
        "retries": sum(map(len, of["retries"].values())),
        "notices": len(of["notices"]),
        "predictions": len(tools),
        "closed": sum(item["state"] == "closed" for item in of["breakers"]),
    }


@settings(max_examples=60, deadline=None)
@given(document=documents(), share=st.floats(0.4, 1.1))
def test_it_fits_goes_in_order_and_spares_who_takes_no_more_than_a_share(
    document: PolicyDocument, share: float
) -> None:
    before = as_json(document)
    limit = max(int(_size(before) * share), 4000)
    found = within(document, limit, HOUSES.__getitem__)

    assert as_json(document) == before, "the document that was given stays as it was"
    assert _size(as_json(found)) <= limit
    assert within(found, limit, HOUSES.__getitem__) == found
    if _size(before) <= limit:
        assert found == document
    for owner in OWNERS:
        had, has = _of(document, owner), _of(found, owner)
        if _size(had) <= (limit - 2000) / len(OWNERS):
            assert has == had, "who takes less than a share loses nothing to the others"
        lost = [kind for kind in ORDER if _left(has)[kind] < _left(had)[kind]]
        gone = [kind for kind in ORDER if _left(has)[kind] == 0]
        for kind in lost:
            assert set(ORDER[: ORDER.index(kind)]) <= set(gone), "the earlier kinds went first"
        assert [b for b in has["breakers"] if b["state"] == "open"] == [
            b for b in had["breakers"] if b["state"] == "open"
        ]


@given(document=documents())
def test_the_least_used_go_first(document: PolicyDocument) -> None:
    found = within(document, max(_size(as_json(document)) * 3 // 4, 4000), lambda _house: "")
    tables = ((as_json(document)["retries"], as_json(found)["retries"]),)
    for had, has in tables:
        kept = [item["samples"][0] for tools in has.values() for item in tools.values()]
        all_ = [item["samples"][0] for tools in had.values() for item in tools.values()]
        dropped = list(all_)
        for one in kept:
            dropped.remove(one)
        assert not kept or not dropped or max(dropped) <= min(kept)
