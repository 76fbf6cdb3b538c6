"""A real Prometheus reads our file, and every query of the dashboard and every alert means something to it."""

import json
import re
import socket
import subprocess
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support import eventually
from timmyd.clock import now
from timmyd.service.metrics import TOOLS_MOST, Metrics

SYSTEMD = Path(__file__).resolve().parents[2] / "systemd"
DASHBOARD = json.loads((SYSTEMD / "grafana-timmyd.json").read_text("utf-8"))
QUERIES = sorted(
    {target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]}
    | set(
        re.findall(
            r"^ +expr: (?!>-)(.+)$", (SYSTEMD / "timmyd-alerts.yml").read_text(), re.MULTILINE
        )
    )
)
QUIET = ("absent_over_time", "> ", ">= ", "== 0")
"""Alerts: with a daemon that is well they have no result."""


def filled(houses: int = 3) -> Metrics:
    """What a daemon at work would write."""
    metrics, at = Metrics("0.2.0"), now()
    counts: dict[tuple[str, str, str, str, str | None], int] = {
        (f"house{n % houses}", "telemetry", outcome, f"tool{n}", f"model{n % 4}"): 5 + n
        for n in range(20)
        for outcome in ("ok", "error")
    }
    metrics.counted(counts)
    metrics.ticked(at, 0.01)
    metrics.ingested(at, 0.01)
    metrics.scanned(at, backlog=0)
    metrics.published(at, 3)
    metrics.settings(at, accepted=True)
    metrics.observer(alive=True)
    metrics.breakers(closed=3, half_open=1, open_=0)
    metrics.database(database_bytes=1 << 20, wal_bytes=1 << 16)
    metrics.process(started_at=at, resident_bytes=50 << 20)
    metrics.rejected("too_large")
    metrics.adaptation("low_ezra_success_rate", "trial_started")
    return metrics


@pytest.fixture(scope="module")
def ask(
    tmp_path_factory: pytest.TempPathFactory, needs_tool: Callable[[str, str], str]
) -> Iterator[Callable[[str], list[Any]]]:
    """Asks a Prometheus that has scraped our file some times."""
    tool = needs_tool("prometheus", "prometheus")
    folder = tmp_path_factory.mktemp("prometheus")
    metrics = filled()
    metrics.write(folder / "metrics", now())
    serve = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), serve) as http, socket.socket() as free:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        (folder / "prometheus.yml").write_text(
            "global: {scrape_interval: 250ms}\nscrape_configs:\n"
            f"  - {{job_name: timmyd, static_configs: [{{targets: ['127.0.0.1:{http.server_port}']}}]}}\n"
        )
        argv = [
            tool,
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/data",
        ]
        argv.append(f"--web.listen-address=127.0.0.1:{port}")
        log = (folder / "log").open("wb")
        with log, subprocess.Popen(argv, stdout=log, stderr=log) as running:

            def query(expr: str) -> list[Any]:
                asked = urllib.parse.urlencode({"query": expr})
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/query?{asked}") as got:
                    found: list[Any] = json.load(got)["data"]["result"]
                return found

            def scraped() -> bool:
                try:
                    found = query("count_over_time(timmy_backlog_files[1m])")
                except OSError:
                    return False
                return bool(found) and int(found[0]["value"][1]) >= 4

            try:
                eventually(scraped, 60.0)
                yield query
            finally:
                running.terminate()
                http.shutdown()


@pytest.mark.parametrize("expr", QUERIES)
def test_every_query_of_the_dashboard_and_the_alerts_is_answered(
    ask: Callable[[str], list[Any]], expr: str
) -> None:
    asked = expr.replace("$__rate_interval", "1m").replace("$instance", ".*").strip("'\"")
    found = ask(asked)
    assert found or any(word in asked for word in QUIET), "nothing to draw"


def test_what_a_user_invents_makes_a_bounded_number_of_series() -> None:
    metrics = Metrics("0.2.0")
    metrics.counted(
        {("h", "telemetry", "ok", f"tool{n}", f"model{n}"): 1 for n in range(20 * TOOLS_MOST)}
    )
    text = metrics.render(now()).decode()
    assert text.count("timmy_tool_executions_total{") == TOOLS_MOST + 1
    assert 'timmy_tool_executions_total{outcome="ok",tool="other"} 3800.0' in text


def test_every_panel_says_what_it_shows_and_none_lies_on_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
        assert panel["title"]
        assert panel["targets"]
