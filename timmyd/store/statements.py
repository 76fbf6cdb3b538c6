"""The statements that a batch writes with: sums are added to what stands, never read and written back."""

INSERT = """INSERT INTO executions (id, at, lineage, combo, signature, outcome, rule, error_type,
    source, flags, latency_ms, confidence, tokens_in, tokens_out, cost, policy)
    VALUES (?, ?, ?, ?, ?, ?, ?, nullif(?, 0), ?, ?, ?, ?, ?, ?, ?, ?)"""
INSERT_PLAIN = """INSERT INTO executions (id, at, lineage, combo, signature, outcome, rule, error_type,
    source, flags) VALUES (?, ?, ?, ?, ?, ?, ?, nullif(?, 0), ?, ?)"""
"""For rows without measured numbers: to bind a None costs several times as much as a number."""
UPSERT_HOUR = """INSERT INTO hours VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (hour, combo) DO UPDATE SET ok = ok + excluded.ok, error = error + excluded.error,
    timeout = timeout + excluded.timeout, blocked = blocked + excluded.blocked,
    cancelled = cancelled + excluded.cancelled, rejected = rejected + excluded.rejected,
    unknown = unknown + excluded.unknown, latency_n = latency_n + excluded.latency_n,
    latency_ms = latency_ms + excluded.latency_ms,
    confidence_n = confidence_n + excluded.confidence_n,
    confidence = confidence + excluded.confidence"""
UPSERT_LATENCY = """INSERT INTO latencies VALUES (?, ?, ?, ?)
    ON CONFLICT (hour, combo, bin) DO UPDATE SET n = n + excluded.n"""
UPSERT_PATTERN = """INSERT INTO patterns VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (combo, signature) DO UPDATE SET calls = calls + excluded.calls,
    rated = rated + excluded.rated, ok = ok + excluded.ok,
    latency_n = latency_n + excluded.latency_n, latency_ms = latency_ms + excluded.latency_ms,
    confidence_n = confidence_n + excluded.confidence_n,
    confidence = confidence + excluded.confidence, last_at = max(last_at, excluded.last_at)"""
UPSERT_MODEL = """INSERT INTO models VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (model, task) DO UPDATE SET calls = calls + excluded.calls,
    rated = rated + excluded.rated, ok = ok + excluded.ok,
    latency_n = latency_n + excluded.latency_n, latency_ms = latency_ms + excluded.latency_ms,
    tokens_n = tokens_n + excluded.tokens_n, tokens = tokens + excluded.tokens,
    cost_n = cost_n + excluded.cost_n, cost = cost + excluded.cost,
    last_at = max(last_at, excluded.last_at)"""
UPSERT_REQUEST = """INSERT INTO requests VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (hour, house, model) DO UPDATE SET ok = ok + excluded.ok,
    failed = failed + excluded.failed, latency_n = latency_n + excluded.latency_n,
    latency_ms = latency_ms + excluded.latency_ms, tokens_in = tokens_in + excluded.tokens_in,
    tokens_out = tokens_out + excluded.tokens_out"""
UPSERT_PROVIDER = """INSERT INTO providers VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (hour, house, provider, class) DO UPDATE SET n = n + excluded.n"""
UPSERT_COUNTER = """INSERT INTO counters VALUES (?, ?)
    ON CONFLICT (name) DO UPDATE SET n = n + excluded.n"""
SAVE_FILE = "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
SAVE_JOIN = """INSERT INTO joins VALUES (?, ?)
    ON CONFLICT (mark) DO UPDATE SET lineage = excluded.lineage WHERE joins.lineage != 0"""

JOINED = """SELECT j.mark, CASE j.lineage WHEN 0 THEN 0 ELSE coalesce(l.moved_to, l.id) END
    FROM joins j LEFT JOIN lineages l ON l.id = j.lineage WHERE j.mark IN ({})"""
"""To be filled with a question mark for each mark; 0 is `NO_LINEAGE`, NULL a lineage that is gone."""
