"""The metrics file: whole, readable, complete, and bounded whatever sessions contain."""

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from timmyd.errors import PublishError
from timmyd.service.bounded import OTHER, Bounded
from timmyd.service.metrics import HOUSES_MOST, Metrics

AT = 1_795_381_822.0


def filled() -> Metrics:
    metrics = Metrics("0.1.0")
    metrics.file("snapshot", "taken")
    metrics.executions("ezra", "telemetry", "ok", count=3)
    metrics.duplicates("snapshot", 2)
    metrics.rejected("not_json")
    metrics.adaptation("low_ezra_success_rate", "kept")
    metrics.failure("publish")
    metrics.ticked(AT, 0.002)
    metrics.ingested(AT, 0.02)
    metrics.scanned(AT - 10, backlog=4)
    metrics.published(AT - 20, 17)
    metrics.breakers(closed=3, half_open=1, open_=2)
    metrics.database(database_bytes=4096, wal_bytes=0)
    metrics.settings(AT - 30, accepted=True)
    metrics.observer(alive=True)
    return metrics


def value(text: str, series: str) -> float:
    return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith(series))


def test_every_figure_that_an_operator_watches_is_there() -> None:
    text = filled().render(AT).decode()

    for series, expected in {
        'timmy_build_info{python="': 1,
        'timmy_files_total{result="taken",source="snapshot"}': 1,
        'timmy_executions_total{house="ezra",outcome="ok",source="telemetry"}': 3,
        'timmy_duplicates_total{source="snapshot"}': 2,
        'timmy_rejects_total{reason="not_json"}': 1,
        'timmy_adaptations_total{outcome="kept",rule="low_ezra_success_rate"}': 1,
        'timmy_failures_total{operation="publish"}': 1,
        'timmy_failures_total{operation="store"}': 0,
        "timmy_backlog_files": 4,
        "timmy_scan_age_seconds": 10,
        "timmy_policy_age_seconds": 20,
        "timmy_policy_revision": 17,
        "timmy_tick_duration_seconds_count": 1,
        "timmy_ingest_duration_seconds_count": 1,
        'timmy_breakers{state="open"}': 2,
        'timmy_breakers{state="half_open"}': 1,
        'timmy_breakers{state="closed"}': 3,
        "timmy_database_bytes": 4096,
        "timmy_wal_bytes": 0,
        "timmy_settings_loaded_timestamp_seconds": AT - 30,
        "timmy_settings_last_load_successful": 1,
        "timmy_observer_alive": 1,
    }.items():
        assert value(text, series) == expected, series
    assert "_created" not in text


def test_what_is_not_known_yet_is_left_out_and_not_called_zero() -> None:
    text = Metrics("0.1.0").render(AT).decode()

    for name in ("last_tick", "scan_age", "policy", "settings", "observer", "backlog"):
        assert f"timmy_{name}" not in text


def test_settings_that_were_refused_leave_the_time_of_the_good_ones() -> None:
    metrics = filled()

    metrics.settings(AT, accepted=False)

    text = metrics.render(AT).decode()
    assert value(text, "timmy_settings_last_load_successful") == 0
    assert value(text, "timmy_settings_loaded_timestamp_seconds") == AT - 30


@given(st.lists(st.text(), max_size=200))
def test_labels_stay_bounded_whatever_a_session_invents(names: list[str]) -> None:
    metrics = Metrics("0.1.0")

    for number, name in enumerate(names):
        metrics.executions(f"{name}{number}", name, name)
        metrics.rejected(f"{name}{number}")
        metrics.adaptation(f"{name}{number}", name)
        metrics.file(name, name)
        metrics.duplicates(name, 1)
        metrics.failure(name)

    series = [line for line in metrics.render(AT).decode().splitlines() if not line.startswith("#")]
    assert len(series) < 3 * (HOUSES_MOST + 1) + 100


def test_a_label_beyond_the_bound_is_counted_as_other_and_known_ones_go_on() -> None:
    bounded = Bounded(2)

    assert [bounded(name) for name in ("a", "b", "c", "a", "b")] == ["a", "b", OTHER, "a", "b"]


@pytest.mark.parametrize("name", ["", "x" * 65, "a\nb", "caf\u00e9", "\x1b[31m"])
def test_a_label_that_is_no_plain_word_is_other(name: str) -> None:
    assert Bounded(2)(name) == OTHER


def test_the_file_is_readable_by_everyone_whatever_the_umask(tmp_path: Path) -> None:
    target = tmp_path / "metrics.prom"
    old = os.umask(0o077)
    try:
        filled().write(target, AT)
    finally:
        os.umask(old)

    assert stat.S_IMODE(target.stat().st_mode) == 0o644
    assert list(tmp_path.iterdir()) == [target]


def test_a_second_write_replaces_the_file_and_survives_a_leftover(tmp_path: Path) -> None:
    target = tmp_path / "metrics.prom"
    (tmp_path / f".metrics.prom.{os.getpid()}.tmp").write_bytes(b"half of an old one")
    metrics = filled()

    metrics.write(target, AT)
    first = target.stat().st_ino
    metrics.write(target, AT + 1)

    assert target.stat().st_ino != first
    assert value(target.read_text(), "timmy_scan_age_seconds") == 11
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "metrics.prom"
    target.mkdir()
    (target / "in the way").touch()

    with pytest.raises(PublishError, match="cannot publish"):
        filled().write(target, AT)

    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is in Debian's prometheus")
def test_promtool_finds_nothing_to_complain_about() -> None:
    checked = subprocess.run(
        ["promtool", "check", "metrics"],
        input=filled().render(AT),
        capture_output=True,
        check=False,
    )

    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")
