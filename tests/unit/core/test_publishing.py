"""What the daemon publishes: whole, small enough, and safe to show."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.unit.house.documents import PUBLISHED_AT, document, figures, open_breaker
from timmyd.core.estimating.remedies import Failure, Remedy, published
from timmyd.core.estimating.retries import RetryCurves
from timmyd.core.policy import schema
from timmyd.core.publishing import (
    DocumentTooLargeError,
    content_digest_without_times,
    encode,
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


def test_open_breakers_go_last_and_publishing_never_stops_for_them() -> None:
    many = [open_breaker(tool=f"tool{n}", evidence=float(n)) for n in range(3000)]
    found = document(predictions=_large(tools=10, shapes=5), breakers=many)

    assert LARGEST_BYTES - 8000 < len(encode(found)) <= LARGEST_BYTES
    assert found["predictions"]["ezra"] == {}
    assert found["breakers"][-1]["tool"] == "tool2999"


def test_what_may_not_go_and_does_not_fit_is_an_error() -> None:
    with pytest.raises(DocumentTooLargeError):
        document(why={f"key{n}": {"reason": "x" * LONGEST_TEXT} for n in range(1000)})


def test_a_field_that_no_type_knows_is_an_error() -> None:
    with pytest.raises(ValueError, match="PublishedFigures has no field sucess"):
        document(predictions={"ezra": {"ls": {**figures(0.5), "recent": {"sucess": 0.5}}}})
    with pytest.raises(ValueError, match="PolicyDocument has no field modles"):
        document(modles={})
    with pytest.raises(ValueError, match="success"):
        document(predictions={"ezra": {"ls": figures(0.5) | {"success": 1.5}}})


def additive() -> dict[str, Any]:
    """All that is additive in 0.2, and in 0.1 not known to any reader."""
    recent = figures(0.2, samples=9)
    shape = {**figures(0.42), "recent": recent, "arguments": {"9f2c0011aabbccdd": figures(0.1)}}
    model = {
        "model": "qwen3",
        "success": 0.93,
        "low": 0.88,
        "samples": 412,
        "weights": {"qwen3": 0.98},
        "best": {"qwen3": 0.97, "hermes3:8b": 0.03},
    }
    route = {
        "house": "ezra",
        "confidence": 0.91,
        "samples": 230,
        "weights": {"ezra": 1.0},
        "best": {"ezra": 0.99},
    }
    curve = {"after": [0.5, 0.2], "low": [0.4, 0.1], "high": [0.6, 0.3], "samples": [90, 40]}
    return {
        "models": {"read": model},
        "routes": {"terminal": route},
        "predictions": {"ezra": {"terminal": {**figures(0.8), "shapes": {"git push": shape}, "recent": recent}}},
        "notices": [{"house": "ezra", "tool": "terminal", "shape": "git push", "model": None, "from": 0.9,
                     "to": 0.2, "since": PUBLISHED_AT, "evidence": 33.0}],
        "retries": {"ezra": {"terminal": {**curve, "limit": 3, "shapes": {"git push": curve}}}},
        "remedies": {"ezra": {"terminal|git push|exit_1": [
            {"tool": "terminal", "shape": "git pull", "success": 0.9, "low": 0.5, "high": 1.0, "samples": 20, "lift": 0.4}]}},
        "providers": {"openrouter 9f2c": {"state": "down", "class": "rate_limit", "until": PUBLISHED_AT + 60}},
        "budgets": {"ezra": {"caps": {"tokens_per_day": 2_000_000}, "prices": {"qwen3": {"in": 0.5}},
                             "warn": 0.8, "on_trouble": "go", "zone": "system"}},
        "own": {"ezra": {"models": {"read": model}, "routes": {"ls": route}}},
        "names": {"1000": {"timmy": "alice-timmy"}},
    }  # fmt: skip


def test_what_is_additive_is_typed_validates_and_is_left_out_where_there_is_none() -> None:
    whole = json.loads(encode(document(**additive())))
    jsonschema.Draft202012Validator(
        schema(), format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    ).validate(whole)
    parse(encode(document(**additive())), now=NOW)

    assert whole["notices"][0]["since"] == "2026-11-22T21:00:00Z"
    assert whole["providers"]["openrouter 9f2c"]["class"] == "rate_limit"
    assert set(whole) - set(json.loads(encode(document()))) == {
        "notices", "retries", "remedies", "providers", "budgets", "own", "names",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["a\nb", "\x1b[31m", "\ud800", "x" * 129, ""])
def test_a_hostile_name_takes_its_additive_entry_out(name: str) -> None:
    parts = additive()
    parts["notices"][0]["shape"] = name
    parts["retries"]["ezra"][name] = parts["retries"]["ezra"].pop("terminal")
    parts["remedies"]["ezra"]["terminal|git push|exit_1"][0]["shape"] = name
    parts["providers"] = {name: {"state": "down"}}
    found = document(**parts)

    assert (found["notices"], found["retries"], found["providers"]) == ([], {"ezra": {}}, {})
    assert found["remedies"] == {"ezra": {"terminal|git push|exit_1": []}}


def test_what_helped_and_what_repeating_brings_is_published_as_it_was_learned() -> None:
    failure = Failure("ezra", "t" * 128, "s" * 64, "e" * 100)
    remedy = Remedy("terminal", "git pull", 0.9, 0.5, 1.0, 0.4, 20.0)
    learned = published({failure: [remedy]})
    assert document(remedies=learned)["remedies"] == learned

    curves = RetryCurves({"ezra\0terminal\0": [(4.0, 8.0), (1.0, 4.0)],
                          "ezra\0terminal\0git push": [(1.0, 4.0)]})  # fmt: skip
    retries = curves.published(["ezra"], {"ezra": 3.0})
    found = document(retries=retries)
    assert found["retries"] == retries
    parse(encode(found), now=NOW)


GOLDEN = Path(__file__).parents[2] / "data" / "policy_documents"


def golden_inputs() -> dict[str, dict[str, Any]]:
    """What the documents in tests/data/policy_documents were built from, before there were types."""
    beside = {"ezra": {"terminal": {
        **figures(1 / 3), "shapes": {"git push": {**figures(0.42), "recent": figures(0.25),
                                                  "arguments": {"9f2c": figures(2 / 3), "a\nb": figures(0.5)}}},
        "recent": figures(0.9)}}}  # fmt: skip
    hostile = {
        "models": {"read": {"model": "m", "success": 0.12345, "low": None, "samples": 9, "weights": {"m": 1.0, "\x07": 0.0}}},
        "routes": {"a\nb": {"house": "ezra", "confidence": 0.5, "samples": 9},
                   "ls": {"house": "ezra", "confidence": 1, "samples": 9}},
        "breakers": [open_breaker(tool="a\nb"), open_breaker(reason="two\nlines", since=None)],
        "why": {"ezra.evidence_threshold": {"reason": "x" * 500}},
    }  # fmt: skip
    whole = {
        key: _full()[key]
        for key in ("models", "routes", "breakers", "trials", "predictions", "why")
    }
    return {"least": {}, "whole": whole, "beside": {"predictions": beside}, "hostile": hostile}


@pytest.mark.parametrize("name", ["least", "whole", "beside", "hostile"])
def test_documents_are_the_same_to_the_byte_as_ever(name: str) -> None:
    assert encode(document(**golden_inputs()[name])) == (GOLDEN / f"{name}.json").read_bytes()


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
