"""The reasons of the judgement in words, with the figures that were checked."""

from collections.abc import Mapping
from typing import Final

from timmyd.core.judging.paired import PairedTest
from timmyd.core.judging.rules.base import PolicySpec, RuleSpec
from timmyd.core.judging.rules.knobs import TrialView, to_float
from timmyd.core.judging.rules.watch import Watch
from timmyd.core.judging.trials import GUARD_HARM, KEEP, Trial
from timmyd.house.units import DAY_S, HOUR_S

_MINUTE_S: Final = 60.0

Figures = dict[str, float | int | str | None]


def span(seconds: float) -> str:
    """A length of time for people."""
    if seconds >= 2 * DAY_S:
        return f"{seconds / DAY_S:.1f} d"
    if seconds >= 2 * HOUR_S:
        return f"{seconds / HOUR_S:.1f} h"
    return f"{seconds / _MINUTE_S:.0f} min"


def subject(rule: RuleSpec) -> str:
    """What the rule watches."""
    whose = rule.scope or "all houses"
    what = " ".join(part for part in (rule.task, rule.tool) if part)
    return f"{rule.signal} of {whose}" + (f" ({what})" if what else "")


def figures(watch: Watch) -> Figures:
    """The numbers behind an alarm or the lack of one."""
    interval = watch.interval()
    return {
        "clusters": watch.detector.seen,
        "rate": None if watch.recent.mean is None else round(watch.recent.mean, 4),
        "low": None if interval is None else round(interval.low, 4),
        "high": None if interval is None else round(interval.high, 4),
        "e_value": float(f"{watch.detector.value:.6g}"),
        "e_needed": watch.detector.level,
        "limit": watch.spec.limit,
        "rho": round(watch.design.rho, 3),
    }


def level(watch: Watch) -> str:
    """Where the signal stands."""
    mean, interval = watch.recent.mean, watch.interval()
    if mean is None or interval is None:
        return f"{subject(watch.spec)} has no data"
    own = watch.own
    if own is not None and own.detector is None:
        against = "its own level is not known yet"
    elif own is not None:
        against = f"against {watch.detector.limit:.3f}, {watch.spec.limit:g} below its own level"
    else:
        against = f"against a limit of {watch.detector.limit:g}"
    shown = f"{mean:.3f} [{interval.low:.3f}, {interval.high:.3f}]"
    return f"{subject(watch.spec)} is {shown} {against}"


def alarm(watch: Watch) -> str:
    """Why a trial begins."""
    return (
        f"{level(watch)}; evidence {watch.detector.value:,.0f} of {watch.detector.level:,.0f}"
        f" over {watch.detector.seen} sessions"
    )


def _test(name: str, test: PairedTest) -> str:
    if test.gain is None:
        return f"{name}: no data in both arms"
    return f"{name} {test.gain:+.3f} over {test.pairs} pairs"


def result(trial: Trial, words: str) -> str:
    """How a trial ended."""
    parts = [f"{words}: {_test('effect', trial.signal)}, evidence {trial.signal.better:,.1f}"]
    parts += [_test(f"guard {name}", guard) for name, guard in trial.guards.items()]
    parts.append(f"attributed by {trial.attribution}")
    return "; ".join(parts)


def trial_figures(trial: Trial) -> Figures:
    """The numbers of a trial."""
    out: Figures = {
        "pairs": trial.signal.pairs,
        "skipped": trial.signal.skipped,
        "gain": _round(trial.signal.gain),
        "e_better": float(f"{trial.signal.better:.6g}"),
        "e_worse": float(f"{trial.signal.worse:.6g}"),
        "e_needed": KEEP,
        "attribution": trial.attribution,
        "seed": trial.seed,
        "tosses": trial.tosses,
        "block_s": trial.block_s,
    }
    for name, guard in trial.guards.items():
        out[f"guard_{name}_pairs"] = guard.pairs
        out[f"guard_{name}_gain"] = _round(guard.gain)
        out[f"guard_{name}_e_harm"] = float(f"{guard.worse:.6g}")
        out[f"guard_{name}_e_limit"] = GUARD_HARM
    return out


def _round(x: float | None) -> float | None:
    return None if x is None else round(x, 4)


def evidence_gap(watch: Watch, now: float, *, span_s: float, more: int) -> str | None:
    """What the evidence lacks for a trial; None: nothing."""
    detector = watch.detector
    if watch.recent.mean is None:
        return "no data: no change"
    if detector.hot_since is None:
        missing = watch.missing()
        have = f"evidence {detector.value:,.1f} of {detector.level:,.0f}"
        if missing is None:
            return f"{have}; at its present level the signal is on the good side of the limit"
        pace = watch.pace.per_s(now)
        wait = f", {span(missing / pace)} at the present pace" if pace > 0.0 else ""
        return f"{have}; about {missing:.0f} more sessions at the present level{wait}"
    if not detector.confirmed(now, span_s=span_s, more=more):
        return (
            f"the alarm has stood for {span(now - detector.hot_since)} of {span(span_s)}"
            f" and {detector.hot_seen} of {more + 1} sessions"
        )
    return None


def guards_of(trial: Trial) -> Mapping[str, str]:
    """How each guard stands, in words."""
    return {name: _test(name, guard) for name, guard in trial.guards.items()}


def view_of(key: str, trial: Trial, spec: PolicySpec) -> TrialView:
    """A running trial as it is shown."""
    return TrialView(
        policy=key,
        rule=trial.rule,
        kind=trial.kind,
        old=to_float(trial.old, spec),
        new=to_float(trial.new, spec),
        arm=trial.arm,
        started_at=trial.started_at,
        since=trial.since,
        until=trial.until,
        attribution=trial.attribution,
        figures=trial_figures(trial),
        guards=dict(guards_of(trial)),
    )
