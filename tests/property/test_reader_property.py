"""A reader of policies takes a document whole or not at all, whatever it is fed, and never raises."""

import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, strategies as st

from tests.unit.house.documents import LIFE_S, PUBLISHED_AT, document, figures, open_breaker, signed
from timmyd.core.policy import as_json
from timmyd.core.publishing import build, encode
from timmyd.house import Policies
from timmyd.house.policy import KEYS, LARGEST_BYTES, Policy, PolicyError, parse, value_in_bounds

NOW = PUBLISHED_AT + 1.0

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4)
    ),
    max_leaves=20,
)
WHOLE = document(
    models={
        "read": {"model": "m", "success": 0.9, "low": 0.8, "samples": 40, "weights": {"m": 1.0}}
    },
    routes={
        "terminal": {"house": "ezra", "confidence": 0.9, "samples": 9, "weights": {"ezra": 1.0}}
    },
    breakers=[open_breaker()],
    predictions={"ezra": {"terminal": {**figures(0.8), "shapes": {"ls": figures(0.9)}}}},
    why={"ezra.evidence_threshold": {"reason": "x"}},
)


def _or_none(data: bytes | dict[str, Any]) -> Policy | None:
    try:
        return parse(data, now=NOW)
    except PolicyError:
        return None


def _ask_everything(policies: Policies) -> None:
    for house in ("timmy", "ezra", "", "\ud800", "a\nb"):
        for tool in ("terminal", "web_search", "", "\x00", "\ud800"):
            policies.allows(tool, house=house)
            policies.record(tool, "error", house=house, session="s")
            policies.get_optimal_house(tool)
            success, words = policies.predict_success(tool, house, {"command": tool})
            assert success is None or 0.0 <= success <= 1.0
            assert words
        policies.closed_to(house)
    for key in KEYS:
        owner, _, name = key.partition(".")
        assert value_in_bounds(key, policies.value(owner, name))
    assert policies.get_best_model("read") is None or policies.fresh


@given(st.binary(max_size=400))
def test_bytes_of_any_kind_are_refused_and_nothing_raises(data: bytes) -> None:
    assert _or_none(data) is None


@given(JSON)
def test_json_of_any_kind_is_refused(value: Any) -> None:
    data = json.dumps(value).encode("utf-8", "surrogatepass")
    assert _or_none(data) is None


@given(st.sampled_from([*WHOLE]), JSON)
def test_any_value_at_any_place_is_taken_whole_or_refused(key: str, value: Any) -> None:
    try:
        data = signed({**WHOLE, key: value})
    except ValueError:
        return
    policy = _or_none(data)
    assert policy is None or all(
        value_in_bounds(k, v) for k, v in policy.values.items() if k in KEYS
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "policy.json"
        path.write_bytes(data)
        policies = Policies(path, clock=lambda: NOW)
        _ask_everything(policies)
        assert policies.fresh == (policy is not None)


@given(st.data())
def test_a_change_deep_inside_is_taken_whole_or_refused(data: st.DataObject) -> None:
    changed = json.loads(encode(WHOLE))
    place: Any = changed
    while isinstance(place, (dict, list)) and place:
        key = data.draw(
            st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place)))
        )
        if not isinstance(place[key], (dict, list)) or not place[key] or data.draw(st.booleans()):
            place[key] = data.draw(JSON)
            break
        place = place[key]
    changed.pop("digest", None)
    try:
        raw = signed(changed)
    except ValueError:
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "policy.json"
        path.write_bytes(raw)
        _ask_everything(Policies(path, clock=lambda: NOW))


RATE = st.floats(0, 1)
NAMES = st.text(max_size=140) | st.sampled_from(["terminal", "git push", "read_file"])
FIGURES = st.fixed_dictionaries(
    {"success": RATE, "low": RATE, "high": RATE, "samples": st.integers(0, 10**9)}
)


@given(
    st.dictionaries(
        st.sampled_from(["ezra", "timmy"]), st.dictionaries(NAMES, FIGURES, max_size=5), max_size=2
    ),
    st.dictionaries(
        NAMES,
        st.fixed_dictionaries({"house": NAMES, "confidence": RATE, "samples": st.just(9)}),
        max_size=4,
    ),
    st.text(max_size=500),
)
def test_whatever_names_the_daemon_builds_with_a_reader_takes_the_document(
    predictions: dict[str, Any], routes: dict[str, Any], reason: str
) -> None:
    data = encode(
        as_json(
            build(
                revision=1,
                published_at=PUBLISHED_AT,
                data_through=None,
                life_s=LIFE_S,
                mode="enforce",
                policies={},
                models={},
                routes=routes,
                breaker_rule={},
                breakers=[open_breaker(reason=reason)],
                trials=[],
                predictions=predictions,
                why={"ezra.evidence_threshold": {"reason": reason}},
            )
        )
    )

    assert len(data) <= LARGEST_BYTES
    assert parse(data, now=NOW).revision == 1
