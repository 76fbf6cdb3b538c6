"""The reference breaker: evidence of the tables in the statistics, alone in front of every call.

Kept as it was measured, to be run on the very calls that ours is run on. It counts a call alone, knows
no house, no cap and no restart, and starts from a baseline of 5 failures in 100.
"""

import math
from collections import deque

from tests.worlds.worlds_base import sigmoid
from timmyd.house.breaker_evidence import SHIFTS
from timmyd.house.circuit import CLOSED, HALF_OPEN, OPEN

OPEN_AT, CAP, FREEZE_AT = 300.0, 10.0, 10.0
CORRELATION, SESSIONS = 0.3, 2
WAIT_S, WAIT_MAX_S, PROBE_EVERY_S = 30.0, 240.0, 5.0
CLOSE_AT, REOPEN_AT, DOWN = -math.log(10.0), math.log(2.0), 0.9
KEEP = 0.5 ** (1 / 500)
MEMORY_S, MOST_SESSIONS = 1800.0, 200


class ReferenceBreaker:
    """Shiryaev-Roberts evidence, waits that double, a sequential test on probes."""

    def __init__(self) -> None:
        self.state = CLOSED
        self.failed, self.seen = 0.1, 2.0
        self.parts, self.value = [0.0] * len(SHIFTS), 0.0
        self.sessions: dict[str, tuple[int, float]] = {}
        self.failing: deque[str] = deque(maxlen=12)
        self.until = self.probe_at = self.sum = 0.0
        self.wait_s = WAIT_S
        self.bets_limit, self.bets = 0.0, [0.0] * len(SHIFTS)

    @property
    def baseline(self) -> float:
        return self.failed / self.seen

    def allows(self, at: float) -> bool:
        """May a call run? In half-open the answer takes the probe."""
        if self.state == OPEN and at >= self.until:
            self.state, self.sum, self.probe_at = HALF_OPEN, 0.0, 0.0
        if self.state == HALF_OPEN and at >= self.probe_at:
            self.probe_at = at + PROBE_EVERY_S
            return True
        return self.state == CLOSED

    def record(self, at: float, session: str, *, ok: bool) -> None:
        """Learn from a call that ran."""
        if self.state == HALF_OPEN:
            self._judge(at, ok=ok)
        elif self.state == CLOSED:
            self._count(at, session, ok=ok)

    def _judge(self, at: float, *, ok: bool) -> None:
        back = min(0.6, max(0.02, self.baseline))
        self.sum += math.log((1.0 - DOWN) / (1.0 - back)) if ok else math.log(DOWN / back)
        if self.sum <= CLOSE_AT:
            self.state, self.wait_s = CLOSED, WAIT_S
            self.parts, self.value = [0.0] * len(SHIFTS), 0.0
            self.failing.clear()
        elif self.sum >= REOPEN_AT:
            self.wait_s = min(WAIT_MAX_S, 2.0 * self.wait_s)
            self.state, self.until = OPEN, at + self.wait_s

    def _count(self, at: float, session: str, *, ok: bool) -> None:
        calls = self.sessions.get(session, (0, 0.0))[0]
        self.sessions[session] = (calls + 1, at)
        if len(self.sessions) > MOST_SESSIONS:
            recent = {
                name: known for name, known in self.sessions.items() if at - known[1] < MEMORY_S
            }
            self.sessions = recent
        weight = 1.0 / (1.0 + calls * CORRELATION)
        limit = min(0.8, max(0.2, 0.25 + 1.5 * self.baseline))
        if abs(limit - self.bets_limit) > 0.01:
            self.bets_limit = limit
            z, spread = math.log(limit / (1.0 - limit)), limit * (1.0 - limit)
            self.bets = [(sigmoid(z + shift) - limit) / spread for shift in SHIFTS]
        for i, bet in enumerate(self.bets):
            factor = 1.0 + bet * (1.0 - limit - ok)
            self.parts[i] = min(CAP * OPEN_AT, factor**weight * (self.parts[i] + 1.0))
        self.value = sum(self.parts) / len(self.parts)
        if not ok:
            self.failing.append(session)
        if self.value < FREEZE_AT:
            self.failed = KEEP * self.failed + (not ok) * weight
            self.seen = KEEP * self.seen + weight
        if self.value >= OPEN_AT and len(set(self.failing)) >= SESSIONS:
            self.state, self.until = OPEN, at + self.wait_s
