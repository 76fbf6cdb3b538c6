"""The table of policy keys, and what a reader takes for a document."""

import json
from typing import Any

import pytest

from tests.unit.house.documents import LIFE_S, PUBLISHED_AT, document, figures, open_breaker, signed
from timmyd.core.publishing import encode
from timmyd.house.policy import (
    HOUSE_KEYS,
    KEYS,
    LARGEST_BYTES,
    PolicyError,
    at_from_iso,
    is_house,
    is_name,
    iso_from_at,
    parse,
    spec,
    value_in_bounds,
)

NOW = PUBLISHED_AT + 1.0


def _refusal(data: bytes, **options: Any) -> str:
    with pytest.raises(PolicyError) as caught:
        parse(data, **{"now": NOW, **options})
    return caught.value.code


def test_the_defaults_are_those_of_the_original() -> None:
    assert {key: known.default for key, known in KEYS.items()} == {
        "ezra.evidence_threshold": 0.8,
        "ezra.confidence_boost_for_read_ops": 0.1,
        "bezalel.evidence_threshold": 0.6,
        "bezalel.parallel_test_threshold": 0.5,
        "routing.min_confidence_for_auto_route": 0.7,
        "routing.fallback_to_timmy_threshold": 0.3,
    }


@pytest.mark.parametrize("key", [*KEYS, *(f"another.{name}" for name in HOUSE_KEYS)])
def test_every_default_lies_within_working_bounds_within_hard_bounds(key: str) -> None:
    known = spec(key)
    assert known is not None
    assert known.hard_least <= known.least <= known.default <= known.most <= known.hard_most
    assert 0 < known.step <= known.most - known.least
    assert value_in_bounds(key, known.hard_least)
    assert value_in_bounds(key, known.hard_most)


@pytest.mark.parametrize(
    "value", [-0.01, 1.0, 7, True, "0.8", None, float("nan"), float("inf"), []]
)
def test_what_is_no_number_within_the_hard_bounds_is_out(value: object) -> None:
    assert not value_in_bounds("ezra.evidence_threshold", value)


@pytest.mark.parametrize(
    "key", ["evidence_threshold", "Ezra.evidence_threshold", "routing.evidence_threshold", "ezra.x"]
)
def test_only_houses_have_the_house_keys(key: str) -> None:
    assert spec(key) is None


@pytest.mark.parametrize(
    "name",
    ["", " a", "a ", "a\nb", "a\x1b[31m", "\ud800", "a\u202eb", "a\u200bb", "x" * 129, 7, None],
)
def test_a_name_that_could_forge_or_hide_text_is_not_fit(name: object) -> None:
    assert not is_name(name)


def test_names_and_houses_as_they_come_are_fit() -> None:
    assert all(
        is_name(name) for name in ("terminal", "git push", "mcp__lab__page", "hermes3:8b", "ü")
    )
    assert [is_house(name) for name in ("ezra", "a-b_c9", "Ezra", "", "x" * 33)] == [
        True,
        True,
        False,
        False,
        False,
    ]


@pytest.mark.parametrize("at", [0.0, 1_795_381_822.24, 1_795_381_822.0, 4e9])
def test_times_survive_being_written(at: float) -> None:
    text = iso_from_at(at)
    assert text.endswith("Z")
    assert at_from_iso(text) == pytest.approx(at, abs=0.0006)


def test_a_whole_document_is_taken_with_all_that_is_in_it() -> None:
    data = encode(
        document(
            policies={"ezra.evidence_threshold": 0.7, "timmy.evidence_threshold": 0.5},
            models={"read": {"model": "hermes3:8b", "success": 0.9, "low": 0.8, "samples": 40}},
            routes={"terminal": {"house": "bezalel", "confidence": 0.9, "samples": 9}},
            breakers=[open_breaker(), open_breaker(tool=None, model="qwen3")],
            predictions={"ezra": {"terminal": {**figures(0.8), "shapes": {"ls": figures(0.9)}}}},
            trials=[
                {
                    "policy": "ezra.evidence_threshold",
                    "old": 0.8,
                    "new": 0.7,
                    "arm": "new",
                    "since": PUBLISHED_AT,
                    "until": PUBLISHED_AT + 60,
                }
            ],
            why={"ezra.evidence_threshold": {"default": 0.8, "reason": "fewer held back"}},
        )
    )
    policy = parse(data, now=NOW)

    assert policy.revision == 17
    assert policy.expires_at == PUBLISHED_AT + LIFE_S
    assert policy.values["ezra.evidence_threshold"] == 0.7
    assert policy.values["timmy.evidence_threshold"] == 0.5
    assert policy.values["bezalel.evidence_threshold"] == 0.6
    assert policy.models["read"]["model"] == "hermes3:8b"
    assert policy.routes["terminal"]["house"] == "bezalel"
    assert [b["state"] for b in policy.breakers] == ["open", "open"]
    assert policy.predictions["ezra"]["terminal"]["shapes"]["ls"]["success"] == 0.9
    assert parse(json.loads(data), now=NOW).digest == policy.digest


def test_every_single_changed_byte_is_noticed() -> None:
    data = encode(document(predictions={"ezra": {"ls": figures(0.5)}}))
    for place in range(0, len(data), 7):
        changed = bytearray(data)
        changed[place] ^= 0x01
        if json.loads(data) == _or_none(bytes(changed)):
            continue
        with pytest.raises(PolicyError):
            parse(bytes(changed), now=NOW)


def _or_none(data: bytes) -> object:
    try:
        return json.loads(data)
    except ValueError:
        return None


def test_every_torn_document_is_refused() -> None:
    data = encode(document())
    for length in range(len(data) - 1):
        with pytest.raises(PolicyError):
            parse(data[:length], now=NOW)


def test_a_value_outside_its_hard_bounds_refuses_the_whole_document() -> None:
    data = document()
    data["policies"]["bezalel"]["evidence_threshold"] = 1.2

    assert _refusal(signed(data)) == "out_of_bounds"


def test_a_key_of_a_later_version_is_left_alone() -> None:
    data = document()
    data["policies"]["ezra"]["courage"] = 9000
    data["weather"] = "fine"

    policy = parse(signed(data), now=NOW)

    assert "ezra.courage" not in policy.values


@pytest.mark.parametrize(
    ("schema", "code"),
    [
        ("timmy.policy/2", "schema"),
        ("timmy.policy/10", "schema"),
        ("timmy.telemetry/1", "schema"),
        (1, "schema"),
        (None, "schema"),
    ],
)
def test_another_schema_is_refused(schema: object, code: str) -> None:
    assert _refusal(signed({**document(), "schema": schema})) == code


def test_a_later_minor_schema_is_read() -> None:
    assert parse(signed({**document(), "schema": "timmy.policy/1.3"}), now=NOW).revision == 17


@pytest.mark.parametrize(
    "change",
    [
        {"revision": -1},
        {"revision": 1.5},
        {"revision": True},
        {"revision": 10**400},
        {"mode": "panic"},
        {"published_at": "yesterday"},
        {"published_at": "2026-11-22T21:00:00"},
        {"expires_at": 17},
        {"expires_at": "1999-01-01T00:00:00Z"},
        {"policies": []},
        {"policies": {"ezra": 1}},
        {"models": {"read": {"model": "a\nb", "success": 0.5, "samples": 1}}},
        {"models": {"read": {"model": "a", "success": 1.5, "samples": 1}}},
        {"routes": {"x": {"house": "Ezra!", "confidence": 0.5, "samples": 1}}},
        {"routes": {"x": {"house": "ezra", "confidence": 0.5, "samples": 1, "weights": {"e": 2}}}},
        {"breaker_rule": {"open_at": 0}},
        {"breaker_rule": {"wait_s": -1}},
        {"breakers": [{"house": "ezra", "tool": "x", "state": "ajar"}]},
        {"breakers": [{"house": "ezra", "state": "open"}]},
        {"breakers": [{"house": "ezra", "tool": "\x1b[2J", "state": "open"}]},
        {"breakers": {}},
        {"trials": [{"policy": "ezra.evidence_threshold", "old": 0.8, "new": 9, "arm": "new"}]},
        {"predictions": {"ezra": {"x": {"success": None}}}},
        {"predictions": {"ezra": {"x": {**figures(0.5), "shapes": {"\n": figures(0.5)}}}}},
        {"why": {"k": {"reason": "a\nb"}}},
    ],
)
def test_one_wrong_field_refuses_the_whole_document(change: dict[str, Any]) -> None:
    assert _refusal(signed({**document(), **change})) in {"shape", "out_of_bounds"}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"\xff\xfe",
        b'{"schema":"timmy.policy/1","revision":NaN}',
        b"[" * 100_000,
        b'{"a":' * 20_000,
    ],
)
def test_what_is_no_json_object_is_refused(data: bytes) -> None:
    assert _refusal(data) == "not_json"


def test_a_document_that_is_too_large_is_not_even_read() -> None:
    assert _refusal(b" " * (LARGEST_BYTES + 1)) == "too_large"


def test_an_expired_document_is_refused_from_that_instant_on() -> None:
    data = encode(document())
    parse(data, now=PUBLISHED_AT + LIFE_S - 0.001)

    assert _refusal(data, now=PUBLISHED_AT + LIFE_S) == "expired"


def test_an_older_revision_replaces_only_an_expired_one() -> None:
    used = parse(encode(document(revision=18)), now=NOW)
    older = encode(document(revision=17, life_s=10_000.0))

    assert _refusal(older, previous=used) == "older"
    assert parse(older, now=used.expires_at, previous=used).revision == 17
    assert parse(encode(document(revision=18)), now=NOW, previous=used).revision == 18
