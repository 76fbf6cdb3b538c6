"""What one rule knows: its clusters, its evidence, and the figures to explain it with."""

import math
from typing import Final

import msgspec

from timmyd.core.detect import DropDetector, EDetector, Interval, clamp, wilson_interval
from timmyd.core.judging.clusters import Closed, Clusters, DecayedTally, DesignEffect, Pace
from timmyd.core.judging.rules.base import Observation, RuleSpec
from timmyd.core.judging.rules.signals import SIGNALS, Signal

_SEEN: Final = 0.5 ** (1.0 / 500.0)
"""How far telemetry tells revisions apart is a share with a half-life of 500 calls."""

_TYPICAL: Final = 0.5 ** (1.0 / 500.0)
"""The typical latency has a half-life of 500 calls."""

_LEAST_OBEYED: Final = 0.02
_MOSTLY: Final = 0.8
_UNKNOWN_LEVEL: Final = 0.5

HEADROOM: Final = 1.3
"""Sessions are bet on by what they are worth, which comes closer to the bound than equal bets. So much
more evidence is asked for, which costs two per cent of delay and a quarter of the false alarms."""

_FIRST_LATENCY_MS: Final = 1000.0


class ObeyedCalls(msgspec.Struct, kw_only=True):
    """Whether the calls that a policy acts on show that somebody obeys it.

    Attributes:
        share: Decayed share of calls that name the revision they ran under.
        calls: How many were seen, decayed.
    """

    share: float = 0.0
    calls: float = 0.0

    def update(self, *, told: bool) -> None:
        """Take in one call; `told`: it names its revision."""
        self.calls = _SEEN * self.calls + 1.0
        self.share += ((1.0 if told else 0.0) - self.share) / min(self.calls, 1.0 / (1.0 - _SEEN))

    @property
    def obeyed(self) -> bool:
        """Whether a trial makes sense: some calls lately named a revision."""
        return self.share >= _LEAST_OBEYED

    @property
    def by_revision(self) -> bool:
        """Whether nearly all calls do, so that those that do not can be left out."""
        return self.share >= _MOSTLY


class Guarded(msgspec.Struct, kw_only=True):
    """What is known of one guard: how often it is seen, and how much it varies."""

    count: float = 0.0
    total: float = 0.0
    squares: float = 0.0
    session: str = ""
    pace: Pace = msgspec.field(default_factory=Pace)

    def update(self, x: float, session: str, at: float) -> None:
        """Take in one call or turn."""
        self.count = _SEEN * self.count + 1.0
        self.total = _SEEN * self.total + x
        self.squares = _SEEN * self.squares + x * x
        if session != self.session:
            self.session = session
            self.pace.update(at)

    @property
    def variance(self) -> float:
        """Of one call or turn; a session's mean varies at most so much."""
        mean = (self.total + 0.5) / (self.count + 1.0)
        return max(self.squares / max(self.count, 1.0) - mean * mean, 0.01)


class Watch(msgspec.Struct, kw_only=True):
    """The state of one rule. All of it is plain numbers and survives a restart bit for bit.

    Attributes:
        spec: The rule the evidence was gathered under; other settings void the evidence.
        fixed: Evidence that the signal is on the wrong side of the limit.
        own: For a rule on the signal's own level: that it fell below that.
        clusters: Sessions that are not over yet.
        design: How alike the calls of a session are.
        recent: The signal's level of late, for display.
        pace: Clusters a second.
        obedience: Whether anybody obeys the policy.
        log_latency: Decayed mean of the log latency in milliseconds, by guard stream.
        guards: What is seen of the guards, by name.
        calls_a_session: Decayed mean, of the sessions that are over.
    """

    spec: RuleSpec
    fixed: EDetector
    clusters: Clusters
    own: DropDetector | None = None
    design: DesignEffect = msgspec.field(default_factory=DesignEffect)
    recent: DecayedTally = msgspec.field(default_factory=DecayedTally)
    pace: Pace = msgspec.field(default_factory=Pace)
    obedience: ObeyedCalls = msgspec.field(default_factory=ObeyedCalls)
    log_latency: float = math.log(_FIRST_LATENCY_MS)
    latencies: float = 0.0
    guards: dict[str, Guarded] = {}
    calls_a_session: float = 0.0

    @property
    def signal(self) -> Signal:
        """The signal of the rule."""
        return SIGNALS[self.spec.signal]

    @property
    def detector(self) -> EDetector:
        """The evidence; without any yet where the own level is not known."""
        own = self.own
        return self.fixed if own is None or own.detector is None else own.detector

    def reset(self) -> None:
        """Forget the evidence, and the own level: what it is now is what it may fall from."""
        self.fixed.reset()
        if self.own is not None:
            self.own.restart()

    def set_level(self, level: float) -> None:
        """Ask for so much evidence from now on."""
        self.fixed.level = level
        if self.own is not None:
            self.own.level = level
            if self.own.detector is not None:
                self.own.detector.level = level

    @property
    def typical_ms(self) -> float:
        """The typical latency of the calls in scope, milliseconds."""
        return math.exp(self.log_latency)

    def notice(self, call: Observation) -> None:
        """Take in what is not evidence: whether the policy is obeyed, and how long calls take.

        The typical latency is a running mean of what was before, so it is fair as a scale in a trial.
        """
        self.obedience.update(told=call.policy is not None)
        if call.latency_ms is not None and call.latency_ms > 0.0:
            self.latencies = _TYPICAL * self.latencies + 1.0
            step = math.log(call.latency_ms) - self.log_latency
            self.log_latency += step / self.latencies

    def guard(self, name: str, x: float, session: str, at: float) -> None:
        """Take in what a guard shows, on trial or not."""
        if name not in self.guards:
            self.guards[name] = Guarded()
        self.guards[name].update(x, session, at)

    def close(self, closed: Closed, *, testing: bool) -> None:
        """Take in a finished cluster; it is evidence only while `testing`."""
        x = closed.total / closed.calls
        if testing and self.own is not None:
            self.own.update(x, closed.due, self.design.weight(closed.calls))
        elif testing:
            self.fixed.update(x, closed.due, self.design.weight(closed.calls))
        self.design.update(closed.total, closed.calls)
        self.recent.update(x, self.design.effective(closed.calls))
        self.pace.update(closed.due)
        size, usual = closed.calls, self.calls_a_session
        self.calls_a_session = usual + (size - usual) / min(self.recent.clusters, 100.0)

    def interval(self) -> Interval | None:
        """Wilson interval of the level of late, by effective calls; for display. None without data."""
        mean = self.recent.mean
        if mean is None:
            return None
        return wilson_interval(clamp(mean, 0.0, 1.0) * self.recent.count, self.recent.count)

    def missing(self) -> float | None:
        """About how many more clusters, at the level of late, until the alarm; None: never at it.

        The evidence grows by the factor of the best bet a cluster; ln(level / value) over its log.
        """
        mean, detector = self.recent.mean, self.detector
        if detector.value >= detector.level:
            return 0.0
        if mean is None:
            return None
        fall = detector.limit - mean if detector.side == "below" else mean - detector.limit
        if fall <= 0.0:
            return None
        worth = self.recent.count / max(self.recent.clusters, 1e-9)
        spread = max(mean * (1.0 - mean), 0.01) / max(worth, 1e-9) + fall * fall
        growth = max(bet * fall - bet * bet * spread / 2.0 for bet in detector.bets)
        if growth <= 0.0:
            return None
        # SR sums over every start: about 1 / growth starts carry the sum at once.
        start = max(detector.value, 1.0 / growth)
        return max(0.0, math.log(detector.level * len(detector.bets) / start)) / growth


def limit_of(spec: RuleSpec) -> float:
    """The limit of a rule as a share in (0, 1): for the p-quantile of latency it is 1 - p.

    A rule on the signal's own level has none before that is known.
    """
    if spec.side == "fallen":
        return _UNKNOWN_LEVEL
    quantile = SIGNALS[spec.signal].quantile
    return clamp(spec.limit if quantile is None else 1.0 - quantile, 0.001, 0.999)


def new_watch(spec: RuleSpec, *, level: float, idle_s: float, size: int, age_s: float) -> Watch:
    """A rule that has seen nothing.

    Args:
        spec: The rule, without `*`.
        level: About one false alarm in so many clusters at the limit itself.
        idle_s: Silence that ends a cluster, seconds.
        size: Calls that end it.
        age_s: Age that ends it, seconds.
    """
    fallen = spec.side == "fallen"
    return Watch(
        spec=spec,
        fixed=EDetector(
            limit=limit_of(spec),
            level=HEADROOM * level,
            side="above" if spec.side == "above" else "below",
        ),
        own=DropDetector(level=HEADROOM * level, delta=spec.limit) if fallen else None,
        clusters=Clusters(idle_s=idle_s, size=size, age_s=age_s),
    )
