"""Issue 2: every call that a version of a real snapshot shows is counted once, with its true outcome."""

import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, product
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support import IntakeRig, outcomes, watch_grown
from timmyd.sources import snapshot

CORPUS = Path(__file__).parent.parent / "data" / "corpus"
CASES = sorted(path.name for path in CORPUS.iterdir() if path.is_dir())
NOW = 1_795_500_000.0

NEVER_SHOWN = {"c01_inplace_manual_short_after": 3, "c08_compress_resume": 1}
"""Calls that no version of the file shows: Hermes skips shorter lists. By case; none may be added."""

NOT_JUDGED = {
    # a plugin's refusal leaves the same bytes as an ordinary error
    "s23_plugin_block": [(("terminal", "blocked"), ("terminal", "error"))],
    # the second result with the same id is dropped from the file
    "s22_same_id_in_batch": [
        (("read_file", "ok"), ("read_file", "unknown")),
        (("terminal", "error"), ("terminal", "unknown")),
    ],
    # without ids no result is kept
    "s40_empty_ids": [
        (("read_file", "ok"), ("read_file", "unknown")),
        (("read_file", "ok"), ("read_file", "unknown")),
        (("terminal", "ok"), ("terminal", "unknown")),
        (("terminal", "ok"), ("terminal", "unknown")),
        (("terminal", "ok"), ("terminal", "unknown")),
    ],
    # Hermes gives a call without a name this one
    "s12_nonexistent_tool": [(("", "rejected"), ("invalid_tool_call", "rejected"))],
}
"""(truth, what the file tells) of calls whose outcome the file does not hold. None may be added."""


class Version(NamedTuple):
    name: str
    data: bytes


def versions_of(case: str) -> list[Version]:
    return [
        Version(re.sub(r"^\d+-", "", path.name), path.read_bytes())
        for path in sorted((CORPUS / case / "versions").iterdir())
    ]


def truth_of(case: str) -> Counter[tuple[str, str]]:
    """What a reader of all versions must find: (tool, outcome) with its number."""
    text = (CORPUS / case / "truth.jsonl").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    found = Counter(
        (line["tool"], line.get("outcome", "rejected"))
        for line in lines
        if not line.get("inner") and line.get("in_transcript", True)
    )
    for true, told in NOT_JUDGED.get(case, []):
        found[true] -= 1
        found[told] += 1
    return found


def shown_ids(versions: Sequence[Version]) -> set[tuple[str, str]]:
    """(id, arguments) of all requests in some versions."""
    return {
        (call["id"], call["function"]["arguments"])
        for version in versions
        for message in json.loads(version.data)["messages"]
        for call in message.get("tool_calls") or []
    }


@pytest.fixture
def intake(tmp_path: Path) -> Iterator[IntakeRig]:
    found = IntakeRig(tmp_path, clock=lambda: NOW)
    yield found
    found.close()


def replay(intake: IntakeRig, versions: Sequence[Version], *, restart: bool = False) -> None:
    for version in versions:
        intake.write(version.name, version.data)
        intake.look()
        if restart:
            intake.restart()


def check(case: str, intake: IntakeRig) -> None:
    found = Counter(outcomes(intake.executions()))
    truth = truth_of(case)
    assert not found - truth, "counted twice, or judged wrongly"
    assert (truth - found).total() == NEVER_SHOWN.get(case, 0)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("restart", [False, True], ids=["running on", "restarted between"])
def test_every_call_that_a_version_shows_is_counted_once_with_its_outcome(
    case: str, restart: bool, intake: IntakeRig
) -> None:
    versions = versions_of(case)
    replay(intake, versions, restart=restart)
    check(case, intake)
    replay(intake, versions)
    check(case, intake)
    intake.forget_looks()
    intake.look()
    check(case, intake)


def test_the_list_of_losses_names_only_cases_that_exist() -> None:
    assert {*NEVER_SHOWN, *NOT_JUDGED} <= set(CASES)
    assert sum(NEVER_SHOWN.values()) == 4
    assert sum(map(len, NOT_JUDGED.values())) == 9


def subsets(versions: Sequence[Version]) -> list[tuple[Version, ...]]:
    """All choices of versions for a short case, else some at random."""
    if len(versions) <= 4:
        sizes = range(1, len(versions) + 1)
        return [chosen for size in sizes for chosen in combinations(versions, size)]
    choice = random.Random(len(versions))
    return [
        tuple(v for v in versions if choice.random() < 0.5) or (versions[-1],) for _ in range(12)
    ]


@pytest.mark.parametrize("case", CASES)
def test_with_versions_overwritten_unread_none_is_counted_twice_and_none_that_was_read_is_missing(
    case: str, tmp_path: Path
) -> None:
    for number, chosen in enumerate(subsets(versions_of(case))):
        intake = IntakeRig(tmp_path / str(number), clock=lambda: NOW, database=":memory:")
        replay(intake, chosen, restart=True)
        found = intake.executions()
        ids = shown_ids(chosen)
        largest = max(
            sum(len(m.get("tool_calls") or []) for m in json.loads(v.data)["messages"])
            for v in chosen
        )
        if case not in REPEAT_THEMSELVES:
            assert len(found) == len(ids)
        else:
            assert len(found) >= largest
        assert len(found) <= sum(truth_of(case).values())
        intake.close()


REPEAT_THEMSELVES = {
    "r04_resume_seq_ids",
    "s22_same_id_in_batch",
    "s40_empty_ids",
    "x01_repeat_ids_and_calls",
    "y02_retry_same_id",
}
"""Cases whose own ids repeat: what was shown cannot be told by id alone."""

# ------------------------------------------------------------------ derived cases


def rewritten(
    versions: Sequence[Version], change: Callable[[dict[str, Any]], None]
) -> list[Version]:
    """The versions with every message changed, written as Hermes writes."""
    result = []
    for version in versions:
        document = json.loads(version.data)
        for message in document["messages"]:
            change(message)
        data = json.dumps(document, indent=2, ensure_ascii=False).encode()
        result.append(Version(version.name, data))
    return result


def renamer(style: str) -> Callable[[dict[str, Any]], None]:
    """Gives ids anew: counters, minted from name and arguments, or one for all."""
    order: dict[str, str] = {}

    def rename(old: str) -> str:
        if style == "counters":
            return order.setdefault(old, f"call_{len(order)}")
        if style == "restarting counters":
            return order.setdefault(old, f"call_{len(order) % 3}")
        return "chatcmpl-tool-8fa3b61c9d"

    def change(message: dict[str, Any]) -> None:
        for call in message.get("tool_calls") or []:
            call["id"] = call["call_id"] = rename(call["id"])
            call["response_item_id"] = f"fc_{call['id'].removeprefix('call_')}"
        if message.get("tool_call_id"):
            message["tool_call_id"] = rename(message["tool_call_id"])

    return change


REPEATING = [
    "c01_inplace_manual_short_after",
    "c04_rotate_manual",
    "c08_compress_resume",
    "r01_resume",
    "r06_gateway_turns",
    "s05_write_patch",
    "s38_multi_turn",
    "u02_undo_then_longer",
]


@pytest.mark.parametrize("case", REPEATING)
@pytest.mark.parametrize("style", ["counters", "restarting counters", "one for all"])
def test_ids_that_repeat_by_design_change_no_count(
    case: str, style: str, intake: IntakeRig
) -> None:
    versions = versions_of(case)
    renamed = rewritten(versions, renamer(style))
    for _ in range(2):
        replay(intake, renamed, restart=True)
        check(case, intake)


@pytest.mark.parametrize(
    ("case", "style"),
    [
        ("b01_branch", None),
        *product(
            ("c04_rotate_manual", "d01_delegate_single"), (None, "counters", "restarting counters")
        ),
    ],
)
def test_a_child_that_is_read_before_its_parent_changes_no_count(
    case: str, style: str | None, intake: IntakeRig
) -> None:
    versions = versions_of(case)
    if style is not None:
        versions = rewritten(versions, renamer(style))
    files = list(dict.fromkeys(version.name for version in versions))
    last = {version.name: version for version in versions}
    replay(intake, [last[name] for name in reversed(files)])
    check(case, intake)
    replay(intake, versions, restart=True)
    check(case, intake)


@pytest.mark.parametrize("case", CASES)
def test_a_file_that_goes_back_and_forth_between_its_versions_changes_no_count(
    case: str, intake: IntakeRig
) -> None:
    versions = versions_of(case)
    replay(intake, versions)
    choice = random.Random(1)
    replay(intake, choice.choices(versions, k=6))
    check(case, intake)


@pytest.mark.parametrize(
    ("style", "case"),
    # ids that are empty or repeat by themselves keep their own form
    [*((None, case) for case in CASES), *(("counters", case) for case in REPEATING)],
)
def test_writes_after_every_message_as_in_older_agents_change_no_count(
    case: str, style: str | None, intake: IntakeRig
) -> None:
    versions = versions_of(case)
    if style is not None:
        versions = rewritten(versions, renamer(style))
    written: dict[str, int] = {}
    for version in versions:
        document = json.loads(version.data)
        messages = document["messages"]
        # a file begins with all that it copies
        for size in range(
            min(written.get(version.name, len(messages)), len(messages)), len(messages)
        ):
            document["messages"] = messages[: size + 1]
            intake.write(version.name, json.dumps(document, indent=2).encode())
            intake.look()
        written[version.name] = len(messages)
        intake.write(version.name, version.data)
        intake.look()
    check(case, intake)


PADDING = "x" * 260_000


@pytest.mark.parametrize(
    "case", [c for c in CASES if c not in NOT_JUDGED or c == "s23_plugin_block"]
)
def test_large_files_of_which_only_the_tail_is_decoded_give_the_same_counts(
    case: str, intake: IntakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    resumed = watch_grown(monkeypatch)

    def grow(message: dict[str, Any]) -> None:
        if message["role"] == "user":
            message["reasoning"] = PADDING

    versions = rewritten(versions_of(case), grow)
    grown: list[Version] = []
    for version in versions:
        grown.extend(persisted_piece_by_piece(version))
    replay(intake, grown, restart=True)
    check(case, intake)
    large = sum(len(version.data) >= snapshot.TAIL_FROM_BYTES for version in grown)
    assert resumed or large < 2, "the tail path was not taken"


def persisted_piece_by_piece(version: Version) -> Iterator[Version]:
    """The version as it would have grown message by message, the last one not persisted yet."""
    document = json.loads(version.data)
    messages = document["messages"]
    for size in range(max(1, len(messages) - 12), len(messages) + 1):
        document["messages"] = [m | {"_db_persisted": True} for m in messages[: size - 1]]
        document["messages"].append(
            {k: v for k, v in messages[size - 1].items() if k != "_db_persisted"}
        )
        data = json.dumps(document, indent=2, ensure_ascii=False).encode()
        yield Version(version.name, data)
