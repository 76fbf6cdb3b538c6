"""Takes out all that was counted of one house; what refuses a second count stays."""

import sqlite3
from typing import Final

from timmyd.house.outcome import OUTCOMES

_OF_HOUSE: Final = "(SELECT id FROM combos WHERE house = ?)"
_CALLS: Final = " + ".join(f"h.{outcome}" for outcome in OUTCOMES)
_COUNTED: Final = f"""SELECT c.model, c.task, sum({_CALLS}), sum(h.ok + h.error + h.timeout + h.rejected),
    sum(h.ok), sum(h.latency_n), sum(h.latency_ms)
    FROM hours h JOIN combos c ON c.id = h.combo WHERE c.house = ? AND c.model != ''
    GROUP BY c.model, c.task"""  # noqa: S608 - constants
_SPENT: Final = """SELECT c.model, c.task, sum(e.tokens_in IS NOT NULL OR e.tokens_out IS NOT NULL),
    sum(coalesce(e.tokens_in, 0) + coalesce(e.tokens_out, 0)), sum(e.cost IS NOT NULL), sum(coalesce(e.cost, 0))
    FROM executions e JOIN combos c ON c.id = e.combo WHERE c.house = ? AND c.model != ''
    GROUP BY c.model, c.task"""
_LESS_COUNTED: Final = """UPDATE models SET calls = max(0, calls - ?), rated = max(0, rated - ?), ok = max(0, ok - ?),
    latency_n = max(0, latency_n - ?), latency_ms = max(0, latency_ms - ?) WHERE model = ? AND task = ?"""
_LESS_SPENT: Final = """UPDATE models SET tokens_n = max(0, tokens_n - ?), tokens = max(0, tokens - ?),
    cost_n = max(0, cost_n - ?), cost = max(0, cost - ?) WHERE model = ? AND task = ?"""
_TABLES: Final = ("executions", "hours", "latencies", "patterns")


def remove_house(connection: sqlite3.Connection, house: str) -> int:
    """Remove executions, buckets, patterns, requests and turns of a house; returns how many calls.

    What the models did for it is taken from their sums, tokens and cost as far as executions are
    still kept. Combinations stay as names only: ids of them are remembered elsewhere.
    """
    execute, many = connection.execute, connection.executemany
    for query, less in ((_COUNTED, _LESS_COUNTED), (_SPENT, _LESS_SPENT)):
        rows = execute(query, (house,)).fetchall()
        many(less, [(*sums, model, task) for model, task, *sums in rows])
    execute("DELETE FROM models WHERE calls <= 0")
    total = f"SELECT coalesce(sum({_CALLS}), 0) FROM hours h WHERE h.combo IN {_OF_HOUSE}"  # noqa: S608 - constants
    calls = int(execute(total, (house,)).fetchone()[0])
    gone = f"SELECT id FROM executions WHERE combo IN {_OF_HOUSE}"  # noqa: S608 - constants
    execute(f"DELETE FROM answered WHERE execution IN ({gone})", (house,))  # noqa: S608 - constants
    for table in _TABLES:
        execute(f"DELETE FROM {table} WHERE combo IN {_OF_HOUSE}", (house,))  # noqa: S608 - constants
    for table in ("requests", "providers", "turns", "usage"):
        execute(f"DELETE FROM {table} WHERE house = ?", (house,))  # noqa: S608 - constants
    return calls
