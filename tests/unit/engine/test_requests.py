"""Calls of models are news once, whatever the hour counts grow by."""

from pathlib import Path

from timmyd import IntelligenceEngine, PatternDatabase
from timmyd.core.publishing import encode
from timmyd.engine.requests import Requests
from timmyd.house.policy import parse
from timmyd.store.rows import Request

START = 1_790_000_000.0


def test_only_what_was_added_since_is_news() -> None:
    requests = Requests()
    rows = requests.since([(5, "ezra", "m", 3, 1)])
    assert rows == [(5, "ezra", "m", 3, 1)]
    assert requests.since([(5, "ezra", "m", 3, 1)]) == rows, "looking is not taking"

    requests.take(rows)

    assert requests.since([(5, "ezra", "m", 3, 1)]) == []
    assert requests.since([(5, "ezra", "m", 5, 1)]) == [(5, "ezra", "m", 2, 0)]


def test_failures_are_spread_evenly_and_a_crowd_is_shown_by_some() -> None:
    requests = Requests()
    (few, many) = requests.take([(5, "ezra", "m", 4, 2), (5, "ezra", "n", 3000, 1000)])

    assert few == ("ezra", "m", [True, True, False, True, True, False])
    assert len(many[2]) == 200
    assert many[2].count(False) == 50


def test_it_goes_on_after_a_restart_and_forgets_old_hours() -> None:
    requests = Requests()
    requests.take([(5, "ezra", "m", 4, 2)])
    again = Requests.load(requests.dump())
    assert again.since([(5, "ezra", "m", 4, 2)]) == []
    assert again.dump() == requests.dump()

    again.take([(9, "ezra", "m", 1, 0)])
    assert again.since([(5, "ezra", "m", 4, 2)]) != []
    assert Requests.load(None).dump() == b"[]"


def open_models(engine: IntelligenceEngine) -> list[object]:
    document = engine.policy_document()
    known = parse(encode(document), now=engine.clock()).breakers
    return [item["model"] for item in known if item["tool"] is None and item["state"] == "open"]


def test_a_model_that_stops_answering_is_published_and_a_restart_changes_nothing(
    tmp_path: Path,
) -> None:
    told = []
    for name, restarts in (("steady.db", False), ("often.db", True)):
        now = [START]
        path = tmp_path / name

        def open_engine(path: Path = path, now: list[float] = now) -> IntelligenceEngine:
            database = PatternDatabase(path, clock=lambda: now[0])
            return IntelligenceEngine(database, clock=lambda: now[0])

        engine = open_engine()
        seen = []
        for minute in range(12):
            now[0] += 60.0
            with engine.database.batch() as batch:
                for model in ("down", "up"):
                    for _ in range(4):
                        ok = model == "up" or minute < 2
                        batch.add_request(Request(now[0], "ezra", model, ok, 10.0, 1, 1))
            engine.analyze_and_adapt()
            seen.append(open_models(engine))
            if restarts:
                engine.database.close()
                engine = open_engine()
        engine.database.close()
        told.append(seen)

    assert told[0][1] == []
    assert ["down"] in told[0]
    assert told[0] == told[1]
