"""A kit finds itself in the policy under the name that it claims, and never another owner's house."""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.unit.house.documents import PUBLISHED_AT, document, figures, open_breaker, signed
from timmyd.house.names import as_seen_by
from timmyd.house.policy import Policy, PolicyError, parse
from timmyd.house.reader import Policies

ALICE, BOB, CAROL = 1000, 1001, 1002
NAMES = {"1000": {"ezra": "ezra"}, "1001": {"ezra": "bob-ezra", "timmy": "timmy"}}


def published(**changes: Any) -> dict[str, Any]:
    return document(
        names=NAMES,
        policies={"ezra": {"evidence_threshold": 0.9}, "bob-ezra": {"evidence_threshold": 0.7}},
        breakers=[
            {**open_breaker(), "house": "ezra", "tool": "web_search"},
            {**open_breaker(), "house": "bob-ezra", "tool": "terminal"},
        ],
        predictions={
            "ezra": {"terminal": figures(0.2)},
            "bob-ezra": {"terminal": figures(0.9)},
        },
        routes={
            "terminal": {"house": "bob-ezra", "confidence": 0.9, "samples": 50, "weights": {"bob-ezra": 0.9, "ezra": 0.1}},
            "patch": {"house": "ezra", "confidence": 0.9, "samples": 50},
        },
        **changes,
    )  # fmt: skip


def read(uid: int, house: str | None = None) -> Policy:
    return as_seen_by(parse(signed(published()), now=PUBLISHED_AT + 1.0), uid, house)


def test_a_renamed_house_reads_its_own_under_the_name_that_it_claims() -> None:
    seen = read(BOB, "ezra")

    assert seen.predictions["ezra"]["terminal"]["success"] == 0.9
    assert seen.values["ezra.evidence_threshold"] == 0.7
    assert [(b["house"], b["tool"]) for b in seen.breakers] == [("ezra", "terminal")]
    assert seen.routes["terminal"]["house"] == "ezra"
    assert dict(seen.routes["terminal"]["weights"]) == {"ezra": 0.9}
    assert "patch" not in seen.routes


def test_the_owner_of_the_name_reads_what_is_published() -> None:
    whole = parse(signed(published()), now=PUBLISHED_AT + 1.0)

    assert read(ALICE, "ezra") == whole
    assert read(CAROL) == whole, "who is no house is told of all"


def test_a_stranger_who_claims_a_house_of_another_is_told_nothing_of_it() -> None:
    seen = read(CAROL, "ezra")

    assert set(seen.predictions) == {"bob-ezra"}
    assert [b["house"] for b in seen.breakers] == ["bob-ezra"]
    assert "ezra.evidence_threshold" not in seen.values


def test_a_reader_looks_itself_up_by_its_own_uid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "policy.json"
    path.write_bytes(signed(published()))
    monkeypatch.setattr(os, "getuid", lambda: BOB)

    policies = Policies(path, house="ezra", clock=lambda: PUBLISHED_AT + 1.0)

    assert policies.predict_success("terminal", "ezra")[0] == 0.9
    assert policies.allows("web_search", house="ezra").allowed
    assert not policies.allows("terminal", house="ezra").allowed
    assert policies.value("ezra", "evidence_threshold") == 0.7
    assert policies.get_optimal_house("terminal") == ("ezra", 0.9)


@pytest.mark.parametrize(
    "names", [{"x": {}}, {"1000": []}, {"1000": {"ezra": "No House"}}, {"1000": {"ezra": 7}}]
)
def test_names_that_are_none_refuse_the_document(names: Any) -> None:
    with pytest.raises(PolicyError):
        parse(signed({**document(), "names": names}), now=PUBLISHED_AT + 1.0)
