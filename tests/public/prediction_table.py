"""Predictions of the tool calls of gpt-4o on the airline tasks of tau-bench (sierra-research, MIT).

`tau_airline.csv` is read from the directory. Every call is predicted before it is recorded, from what
is published of it; rivals see the same calls. The regression of river is run where it is installed.
"""

import csv
import importlib.util
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple, Protocol

from tests.worlds.predict_rivals import Chain, Mean
from timmyd.core.model import Execution
from timmyd.engine.predictions import Predictions

Row = tuple[str, str, str, str, str, str]
"""Table, set, figure, ours, bar, verdict."""

HOUSE = "timmy"
CALL_S, DAY_S, A_DAY = 10.0, 86_400.0, 500
START = 1_790_000_000.0
BARS = {
    "natural order": (28.0, 90.0),
    "trial 4 from 1 to 3": (26.0, 78.0),
    "failing tools": (188.0, math.inf),
}


class ToolCall(NamedTuple):
    """One call: its session, what it was, whether it worked."""

    at: float
    session: int
    trial: int
    tool: str
    shape: str
    arguments: str
    ok: bool


class Model(Protocol):
    """Says how likely a call is, before it is told."""

    def expect(self, call: ToolCall) -> float: ...

    def learn(self, call: ToolCall) -> None: ...


class Published:
    """Ours, as a house reads it."""

    def __init__(self) -> None:
        self.predictions = Predictions()
        self.calls = 0
        self.sums = [1.6, 2.0]

    def expect(self, call: ToolCall) -> float:
        published = self.predictions.published(call.at)
        item = published.get(HOUSE, {}).get(call.tool)
        if item is None:
            return self.sums[0] / self.sums[1]
        like = item["shapes"].get(call.shape, item)
        exact = like.get("arguments", {}).get(call.arguments, like)
        return float(exact["success"])

    def learn(self, call: ToolCall) -> None:
        self.calls += 1
        self.sums = [self.sums[0] + call.ok, self.sums[1] + 1.0]
        execution = Execution(
            id=self.calls, at=call.at, session=call.session, house=HOUSE, tool=call.tool,
            signature=call.arguments, shape=call.shape, outcome="ok" if call.ok else "error",
        )  # fmt: skip
        self.predictions.learn([execution], now=call.at)


class PlainMean:
    """The mean of the tool."""

    def __init__(self) -> None:
        self.mean = Mean()

    def expect(self, call: ToolCall) -> float:
        return self.mean.expect(call.tool)

    def learn(self, call: ToolCall) -> None:
        self.mean.learn(call.tool, ok=call.ok)


class PlainChain:
    """Tool, shape, arguments, each with the weight of two calls of the level above."""

    def __init__(self) -> None:
        self.chain = Chain((2.0, 2.0, 2.0, 2.0))

    def expect(self, call: ToolCall) -> float:
        return self.chain.expect(_keys(call))

    def learn(self, call: ToolCall) -> None:
        self.chain.learn(_keys(call), ok=call.ok)


class Regression:
    """river's logistic regression over tool, shape and hashed arguments."""

    def __init__(self) -> None:
        linear: Any = importlib.import_module("river.linear_model")
        optim: Any = importlib.import_module("river.optim")
        self.model = linear.LogisticRegression(optimizer=optim.AdaGrad(0.3))

    def expect(self, call: ToolCall) -> float:
        return float(self.model.predict_proba_one(self._features(call)).get(True, 0.8))

    def learn(self, call: ToolCall) -> None:
        self.model.learn_one(self._features(call), call.ok)

    def _features(self, call: ToolCall) -> dict[str, float]:
        return {"b": 1.0} | {repr(key): 1.0 for key in _keys(call)[1:]}


def _keys(call: ToolCall) -> tuple[object, ...]:
    tool, shape = call.tool, call.shape
    return (), (tool,), (tool, shape), (tool, shape, call.arguments)


def read(path: Path) -> list[ToolCall]:
    """The calls in the file's order, ten seconds apart, five hundred a day."""
    calls = []
    with path.open(encoding="utf-8", newline="") as file:
        for n, row in enumerate(csv.DictReader(file)):
            at = START + n // A_DAY * DAY_S + n % A_DAY * CALL_S
            session = int(row["task"]) * 10 + int(row["trial"]) + 1
            calls.append(
                ToolCall(at, session, int(row["trial"]), row["tool"], row["shape"],
                         row["args_hash"], row["error"] == "0")
            )  # fmt: skip
    return calls


def foretold(model: Model, calls: Iterable[ToolCall], *, learning: bool = True) -> list[float]:
    """What a model says of each call before it is told how it ended."""
    said = []
    for call in calls:
        said.append(model.expect(call))
        if learning:
            model.learn(call)
    return said


def scores(said: list[float], calls: list[ToolCall]) -> tuple[float, float]:
    """Brier score and log loss, x 1000."""
    brier = fmean((p - call.ok) ** 2 for p, call in zip(said, calls, strict=True))
    sure = [
        min(0.999, max(0.001, p if c.ok else 1.0 - p)) for p, c in zip(said, calls, strict=True)
    ]
    return 1000.0 * brier, 1000.0 * fmean(-math.log(p) for p in sure)


def _sets(
    make: Callable[[], Model], calls: list[ToolCall]
) -> dict[str, tuple[list[float], list[ToolCall]]]:
    """What a model said of each set."""
    natural = foretold(make(), calls)
    failing = {call.tool for call in calls if not call.ok}
    part = [n for n, call in enumerate(calls) if call.tool in failing]
    model = make()
    foretold(model, [call for call in calls if call.trial < 3])
    last = [call for call in calls if call.trial == 3]
    return {
        "natural order": (natural, calls),
        "trial 4 from 1 to 3": (foretold(model, last, learning=False), last),
        "failing tools": ([natural[n] for n in part], [calls[n] for n in part]),
    }


def rows(directory: Path) -> list[Row]:
    """Brier and log loss of ours, plain means, a chain, and river's regression where there is one."""
    calls = read(directory / "tau_airline.csv")
    rivals: dict[str, Callable[[], Model]] = {"mean of the tool": PlainMean, "chain": PlainChain}
    if importlib.util.find_spec("river") is not None:
        rivals["river's regression"] = Regression
    ours = _sets(Published, calls)
    found: list[Row] = []
    for name, (said, of) in ours.items():
        brier, loss = scores(said, of)
        most, most_loss = BARS[name]
        good = brier <= most and loss <= most_loss
        bar = f"{most:g}" if math.isinf(most_loss) else f"{most:g} / {most_loss:g}"
        found.append(
            ("tau-bench airline", name, "Brier / log loss x 1000", f"{brier:.1f} / {loss:.1f}", bar,
             "ok" if good else "MISSED")
        )  # fmt: skip
    for rival, make in rivals.items():
        for name, (said, of) in _sets(make, calls).items():
            brier, loss = scores(said, of)
            found.append(("tau-bench airline", name, rival, f"{brier:.1f} / {loss:.1f}", "", ""))
            if rival == "river's regression":
                better, error = _paired(ours[name][0], said, of)
                told = f"{better:.1f} +- {error:.1f}"
                row = ("tau-bench airline", name, "Brier less than river's, paired", told, "0")
                found.append((*row, "ok" if better > 0 else "MISSED"))
    return found


def _paired(ours: list[float], rival: list[float], calls: list[ToolCall]) -> tuple[float, float]:
    """By how much our Brier score is smaller, x 1000, and half the width of its 95 % interval."""
    gains = [
        1000.0 * ((q - c.ok) ** 2 - (p - c.ok) ** 2)
        for p, q, c in zip(ours, rival, calls, strict=True)
    ]
    return fmean(gains), 1.96 * stdev(gains) / len(gains) ** 0.5
