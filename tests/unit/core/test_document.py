"""What the daemon publishes: whole, small enough, and safe to show."""

import json
from typing import Any

import jsonschema
import pytest

from tests.unit.house.documents import PUBLISHED_AT, document, figures, open_breaker
from timmyd.core.document import (
    DocumentTooLargeError,
    content_digest_without_times,
    encode,
    schema,
)
from timmyd.house.policy import LARGEST_BYTES, LONGEST_TEXT, parse

NOW = PUBLISHED_AT + 1.0


def _full() -> dict[str, Any]:
    return document(
        models={"read": {"model": "hermes3:8b", "success": 0.93, "low": 0.88, "samples": 412,
                         "weights": {"hermes3:8b": 0.98, "qwen3": 0.02}}},
        routes={"terminal": {"house": "bezalel", "confidence": 0.91, "samples": 230,
                             "weights": {"bezalel": 0.98, "timmy": 0.02}}},
        breakers=[open_breaker(), open_breaker(tool=None, model="qwen3", state="half_open")],
        trials=[{"policy": "ezra.evidence_threshold", "old": 0.8, "new": 0.7, "arm": "new",
                 "since": PUBLISHED_AT, "until": PUBLISHED_AT + 60.0}],
        predictions={"ezra": {"terminal": {**figures(0.81), "shapes": {"git push": figures(0.42)}}}},
        why={"ezra.evidence_threshold": {"default": 0.8, "since": PUBLISHED_AT, "event": 31,
                                         "rule": "low_ezra_success_rate", "reason": "…", "pinned": False}},
    )  # fmt: skip


def _large(tools: int, shapes: int) -> dict[str, dict[str, Any]]:
    return {
        "ezra": {
            f"tool{t}": {
                **figures(0.5, samples=t),
                "shapes": {f"shape {t} {s}": figures(0.5, samples=s) for s in range(shapes)},
            }
            for t in range(tools)
        }
    }


def test_the_schema_is_one_and_documents_validate_with_it() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    validator = jsonschema.Draft202012Validator(
        schema(), format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )

    validator.validate(json.loads(encode(_full())))
    validator.validate(json.loads(encode(document())))


@pytest.mark.parametrize("key", [key for key in _full() if key != "data_through"])
def test_the_schema_asks_for_every_part(key: str) -> None:
    data = json.loads(encode(_full()))
    del data[key]

    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, schema(), cls=jsonschema.Draft202012Validator)


def test_a_reader_takes_what_was_built() -> None:
    assert parse(encode(_full()), now=NOW).revision == 17


def test_the_policies_have_the_shape_of_the_original_and_no_float_dust() -> None:
    found = document(policies={"ezra.evidence_threshold": 0.8 - 0.1, "a.b": 3.0})["policies"]

    assert found == {"ezra": {"evidence_threshold": 0.7}}
    assert document(policies=found)["policies"] == found


def test_a_value_that_readers_would_refuse_is_never_built() -> None:
    with pytest.raises(ValueError, match="evidence_threshold"):
        document(policies={"ezra.evidence_threshold": 3.0})


@pytest.mark.parametrize("name", ["a\nb", "\x1b[31m", "\ud800", "x" * 129, "", " "])
def test_a_hostile_name_takes_its_entry_out_and_nothing_else(name: str) -> None:
    found = document(
        models={"read": {"model": name, "success": 0.5, "samples": 9}},
        routes={name: {"house": "ezra", "confidence": 0.5, "samples": 9},
                "ls": {"house": "ezra", "confidence": 0.5, "samples": 9}},
        breakers=[open_breaker(tool=name), open_breaker(tool=None, model=name), open_breaker()],
        predictions={"ezra": {name: figures(0.5), "ls": {**figures(0.5), "shapes": {name: figures(0.1)}}}},
        why={name: {"reason": "x"}},
    )  # fmt: skip

    assert found["models"] == {}
    assert list(found["routes"]) == ["ls"]
    assert [b["tool"] for b in found["breakers"]] == ["web_search"]
    assert found["predictions"]["ezra"] == {"ls": {**figures(0.5), "shapes": {}}}
    assert found["why"] == {}
    parse(encode(found), now=NOW)


def test_our_own_sentences_are_made_fit_to_be_shown() -> None:
    reason = "line\nbreak" + "x" * LONGEST_TEXT
    found = document(breakers=[open_breaker(reason=reason)])["breakers"][0]["reason"]

    assert found.startswith("line?break")
    assert len(found) == LONGEST_TEXT


def test_a_document_that_is_too_large_loses_its_least_used_shapes_first() -> None:
    found = document(predictions=_large(tools=40, shapes=200))
    data = encode(found)

    assert LARGEST_BYTES - 8000 < len(data) <= LARGEST_BYTES
    tools = found["predictions"]["ezra"]
    assert len(tools) == 40
    kept = [entry["samples"] for item in tools.values() for entry in item["shapes"].values()]
    assert max(kept) == 199
    assert min(kept) > 0
    assert sum(samples == 199 for samples in kept) == 40
    parse(data, now=NOW)


def test_open_breakers_and_values_stay_when_everything_else_must_go() -> None:
    routes = {f"r{n}": {"house": "ezra", "confidence": 0.5, "samples": n} for n in range(3000)}
    closed = [open_breaker(tool=f"c{n}", state="closed", evidence=float(n)) for n in range(1000)]
    found = document(
        predictions=_large(tools=2000, shapes=1),
        routes=routes,
        breakers=[*closed, open_breaker()],
    )

    assert len(encode(found)) <= LARGEST_BYTES
    assert [b["tool"] for b in found["breakers"] if b["state"] == "open"] == ["web_search"]
    assert found["policies"]["ezra"]["evidence_threshold"] == 0.8
    assert found["predictions"]["ezra"] == {}


def test_what_may_not_go_and_does_not_fit_is_an_error() -> None:
    with pytest.raises(DocumentTooLargeError):
        document(breakers=[open_breaker(tool=f"tool{n}") for n in range(3000)])


def test_the_same_content_at_another_time_has_the_same_digest() -> None:
    one = document(revision=1, published_at=1e9, data_through=None, life_s=10.0)
    other = document(revision=2, published_at=2e9)
    changed = document(policies={"ezra.evidence_threshold": 0.7})

    assert content_digest_without_times(one) == content_digest_without_times(other)
    assert content_digest_without_times(one) != content_digest_without_times(changed)
    assert content_digest_without_times(json.loads(encode(one))) == content_digest_without_times(
        one
    )


def test_the_same_inputs_give_the_same_bytes() -> None:
    assert encode(_full()) == encode(_full())
