"""Whatever a settings file holds, it is either taken whole or refused with ConfigError."""

import json
import math
from datetime import date, datetime, time
from typing import Any

import pytest
from hypothesis import given, strategies as st

from timmyd.config import Settings, diff, parse, schema
from timmyd.config.units import duration_s, duration_text, size_bytes, size_text
from timmyd.errors import ConfigError

_NAMES = sorted(
    {
        key
        for table in schema()["properties"].values()
        for part in (table, table.get("items", {}), table.get("additionalProperties") or {})
        for key in part.get("properties", {})
    }
    | set(schema()["properties"])
    | {"ezra.evidence_threshold", "x"}
)
_LEAVES = (
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12)
    | st.sampled_from(["30s", "1h30m", "90d", "64MiB", "enforce", "/a", "ezra", "success_rate"])
    | st.dates(date(1000, 1, 1))
    | st.datetimes(datetime(1000, 1, 1))  # noqa: DTZ001 - TOML has local times
    | st.times()
)
_KEYS = st.sampled_from(_NAMES) | st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=12,
)


def toml(value: Any) -> str:
    """A value as inline TOML."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return (
                json.dumps(value, ensure_ascii=True).replace("\x7f", "\\u007f")
                if not any(ord(letter) > 0xFFFF for letter in value)
                else '"' + "".join(f"\\U{ord(letter):08x}" for letter in value) + '"'
            )
        case float() if math.isnan(value):
            return "nan"
        case float():
            return "inf" if value > 1e308 else "-inf" if value < -1e308 else f"{value:.6e}"
        case date() | time():
            return value.isoformat()
        case list():
            return "[" + ",".join(toml(item) for item in value) + "]"
        case dict():
            return "{" + ",".join(f"{toml(key)}={toml(item)}" for key, item in value.items()) + "}"
        case _:
            return str(value)


@given(st.dictionaries(_KEYS, _VALUES, max_size=5))
def test_any_toml_is_taken_whole_or_refused_with_places(data: dict[str, Any]) -> None:
    text = "\n".join(f"{toml(key)} = {toml(value)}" for key, value in data.items())

    settings, error = attempt(text)

    if error is None:
        assert (settings == Settings()) == (diff(Settings(), settings) == [])
        return
    assert error.problems
    for problem in error.problems:
        assert problem.place.startswith("t.toml")
        assert problem.place.isprintable()
        assert problem.message.isprintable()


def attempt(text: str) -> tuple[Settings, ConfigError | None]:
    try:
        return parse(text, "t.toml"), None
    except ConfigError as error:
        return Settings(), error


@given(st.text(max_size=200))
def test_any_text_is_taken_or_refused_in_printable_words(text: str) -> None:
    _, error = attempt(text)

    assert error is None or all(problem.message.isprintable() for problem in error.problems)


@given(st.integers(0, 3_650 * 86_400_000))
def test_a_duration_reads_back_as_it_was_written(milliseconds: int) -> None:
    assert duration_s(duration_text(milliseconds / 1000)) == milliseconds / 1000


@given(st.integers(0, 2**40))
def test_a_size_reads_back_as_it_was_written(size: int) -> None:
    assert size_bytes(size_text(size)) == size


@given(st.text(max_size=12))
def test_what_is_no_duration_is_refused(text: str) -> None:
    try:
        seconds = duration_s(text)
    except ValueError:
        return
    assert 0 <= seconds < float("inf")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1w", 604_800), ("1h30m", 5_400), ("1s500ms", 1.5), ("1.25s", 1.25), ("0s", 0), ("1m1ms", 60.001)],
)  # fmt: skip
def test_durations_add_up(text: str, seconds: float) -> None:
    assert duration_s(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "1", "s", "1 s", "-1s", "1s1m", "1s1s", "1e3s", "1.5h", "٣s", "1s\n", "1S", "9" * 40 + "s"],
)  # fmt: skip
def test_other_ways_to_write_a_duration_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^$"):
        duration_s(text)
