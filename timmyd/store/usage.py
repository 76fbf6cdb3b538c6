"""Tokens and money that sessions used, by session, model and source; what is unknown is NULL, never 0."""

import sqlite3
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from timmyd.core.model import SOURCE_NAMES, Source
from timmyd.house.units import HOUR_S


class Used(NamedTuple):
    """What one session used of one model, as one source shows it.

    Attributes:
        session: Hash of its owner and its id.
        at: When it was used last, Unix seconds.
        total: All that the session used so far, where False what came now.
    """

    session: int
    model: str
    source: Source
    house: str
    at: float
    requests: int
    tokens_in: int | None
    tokens_out: int | None
    cost: float | None
    total: bool


class ModelUsage(msgspec.Struct, frozen=True, kw_only=True):
    """What a house used of a model. None: not known, of all of it or of a part.

    Attributes:
        cost: As the source says, else by `[prices]`.
    """

    house: str
    model: str
    sessions: int
    requests: int
    tokens_in: int | None
    tokens_out: int | None
    cost: float | None


class ProviderRequests(msgspec.Struct, frozen=True, kw_only=True):
    """What came of the requests that a house sent to a provider, as telemetry shows it.

    Attributes:
        errors: How many of them failed, by the class of the error; the most first.
    """

    house: str
    provider: str
    requests: int
    failed: int
    errors: dict[str, int]


_ADD = """INSERT INTO usage VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (session, model, source) DO UPDATE SET last_at = max(last_at, excluded.last_at),
    requests = requests + excluded.requests,
    tokens_in = CASE WHEN excluded.tokens_in IS NULL THEN tokens_in
        ELSE coalesce(tokens_in, 0) + excluded.tokens_in END,
    tokens_out = CASE WHEN excluded.tokens_out IS NULL THEN tokens_out
        ELSE coalesce(tokens_out, 0) + excluded.tokens_out END"""

_SET = """INSERT INTO usage VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (session, model, source) DO UPDATE SET last_at = max(last_at, excluded.last_at),
    requests = max(requests, excluded.requests),
    tokens_in = max(coalesce(tokens_in, excluded.tokens_in), coalesce(excluded.tokens_in, tokens_in)),
    tokens_out = max(coalesce(tokens_out, excluded.tokens_out), coalesce(excluded.tokens_out, tokens_out)),
    cost = max(coalesce(cost, excluded.cost), coalesce(excluded.cost, cost))"""

_READ = """SELECT session, model, house, requests, tokens_in, tokens_out, cost FROM usage
    WHERE last_at >= ?"""


def save(connection: sqlite3.Connection, used: Iterable[Used]) -> None:
    """Write what was used."""
    for one in used:
        source = SOURCE_NAMES.index(one.source)
        values = (
            one.session, one.model, source, one.house, one.at, one.requests,
            one.tokens_in, one.tokens_out, one.cost,
        )  # fmt: skip
        connection.execute(_SET if one.total else _ADD, values)


def by_model(
    connection: sqlite3.Connection, since: float, prices: Mapping[str, tuple[float, float]]
) -> list[ModelUsage]:
    """What each house used of each model in sessions that were at work since a time.

    Of two sources that show one session that counts which shows more of it.

    Args:
        connection: To read from.
        since: Unix seconds.
        prices: Of a million tokens in and out, by model.
    """
    best: dict[tuple[int, str], tuple[str, int, int | None, int | None, float | None]] = {}
    for session, model, house, requests, tokens_in, tokens_out, cost in connection.execute(
        _READ, (since,)
    ):
        row = (house, requests, tokens_in, tokens_out, cost)
        other = best.get((session, model))
        if other is not None:
            more = max(row, other, key=lambda one: ((one[2] or 0) + (one[3] or 0), one[1]))
            row = (*more[:4], row[4] if row[4] is not None else other[4])
        best[session, model] = row
    sums: dict[tuple[str, str], ModelUsage] = {}
    for (_, model), (house, requests, tokens_in, tokens_out, cost) in best.items():
        priced = _cost(prices.get(model), tokens_in, tokens_out) if cost is None else cost
        one = ModelUsage(
            house=house, model=model, sessions=1, requests=requests,
            tokens_in=tokens_in, tokens_out=tokens_out, cost=priced,
        )  # fmt: skip
        sums[house, model] = _plus(sums[house, model], one) if (house, model) in sums else one
    return [sums[key] for key in sorted(sums)]


def _cost(
    price: tuple[float, float] | None, tokens_in: int | None, tokens_out: int | None
) -> float | None:
    if price is None or tokens_in is None or tokens_out is None:
        return None
    return (tokens_in * price[0] + tokens_out * price[1]) / 1_000_000


def _plus(one: ModelUsage, other: ModelUsage) -> ModelUsage:
    return ModelUsage(
        house=one.house,
        model=one.model,
        sessions=one.sessions + other.sessions,
        requests=one.requests + other.requests,
        tokens_in=_sum(one.tokens_in, other.tokens_in),
        tokens_out=_sum(one.tokens_out, other.tokens_out),
        cost=None if one.cost is None or other.cost is None else one.cost + other.cost,
    )


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other


def by_provider(connection: sqlite3.Connection, since: float) -> list[ProviderRequests]:
    """The requests of each house to each provider since the hour of a time; the most failures first."""
    query = """SELECT house, provider, class, sum(n) FROM providers WHERE hour >= ?
        GROUP BY house, provider, class ORDER BY sum(n) DESC, class"""
    found: dict[tuple[str, str], dict[str, int]] = {}
    for house, provider, error_class, n in connection.execute(query, (int(since // HOUR_S),)):
        found.setdefault((house, provider), {})[error_class] = n
    told = [
        ProviderRequests(
            house=house, provider=provider, requests=sum(by_class.values()),
            failed=sum(by_class.values()) - by_class.pop("", 0), errors=by_class,
        )
        for (house, provider), by_class in found.items()
    ]  # fmt: skip
    return sorted(told, key=lambda one: (-one.failed, -one.requests, one.house, one.provider))
