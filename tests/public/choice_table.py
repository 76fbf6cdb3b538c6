"""Answers lost by choosing a model for every question, on sets in which both answers are known.

`routellm_gsm8k.csv` (lm-sys/RouteLLM, Apache-2.0) is read from the directory. The larger sets of the
same kind (57 subjects; the same in 4 domains) are not part of it: they are simulated, with sizes,
levels and gaps like those that were published of them, so their figures are of such sets only.
"""

import csv
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import fmean
from typing import Final, NamedTuple

from timmyd.core.model import Execution
from timmyd.engine.choices import Choices

Row = tuple[str, str, str, str, str, str]
"""Table, set, figure, ours, bar, verdict."""

BARS: Final = {
    "GSM8K": 10.0, "swap at half": 150.0, "4 domains": 40.0, "57 subjects": 90.0,
    "one of four swaps": 160.0,
}  # fmt: skip
TICK: Final = 20
"""Questions between two looks."""
SESSION: Final = 5
_SUBJECTS, _QUESTIONS = 57, 14_042


class Question(NamedTuple):
    """Its type, and whether each of the two models answers it right."""

    kind: str
    right: tuple[bool, bool]


def gsm8k(directory: Path) -> list[Question]:
    with (directory / "routellm_gsm8k.csv").open() as file:
        rows = csv.DictReader(file)
        return [Question("q", (r["a_correct"] == "1", r["b_correct"] == "1")) for r in rows]


def subjects() -> list[tuple[str, Question]]:
    """57 subjects in 4 domains, (domain, question): the second model is better in all but one."""
    rng = random.Random("subjects")
    raw = [math.exp(rng.gauss(0.0, 0.7)) for _ in range(_SUBJECTS)]
    sizes = [max(100, round(_QUESTIONS * size / sum(raw))) for size in raw]
    odd, found = sizes.index(sorted(sizes)[-3]), []
    for number, size in enumerate(sizes):
        level = rng.gauss(1.65, 0.8)
        gap = -0.3 if number == odd else rng.gauss(0.92, 0.3)
        for _ in range(size):
            hard = rng.gauss(0.0, 1.2)  # how hard a question is, is the same for both
            right = [rng.random() < _share(1.25 * z + hard) for z in (level - gap, level)]
            question = Question(f"subject {number:02d}", (right[0], right[1]))
            found.append((f"domain {number % 4}", question))
    return found


def questions(name: str, directory: Path, seed: int) -> list[Question]:
    """One set in the order of a seed."""
    if name == "GSM8K":
        rows = gsm8k(directory)
        random.Random(seed).shuffle(rows)
        return rows
    pairs = subjects()
    random.Random(seed).shuffle(pairs)
    if name == "57 subjects":
        return [question for _, question in pairs]
    half, found = len(pairs) // 2, []
    for number, (domain, question) in enumerate(pairs):
        swaps = name == "swap at half" or (
            name == "one of four swaps" and domain == f"domain {seed % 4}"
        )
        right = question.right[::-1] if swaps and number >= half else question.right
        found.append(Question(domain, right))
    return found


class Chooser:
    """Two or more models as the product publishes them; each call draws its own by the shares."""

    def __init__(self, models: Sequence[str], seed: int) -> None:
        self.choices, self.models = Choices(models=models), list(models)
        self.rng, self.calls = random.Random(f"draws {seed}"), 0
        self._waiting: list[Execution] = []

    def leader(self, kind: str) -> str | None:
        found = self.choices.model(kind, self.choices.unit_of(None))
        return None if found is None else found.leader

    def draw(self, kind: str) -> str:
        found = self.choices.model(kind, self.choices.unit_of(None))
        shares: Mapping[str, float] = dict.fromkeys(self.models, 1.0)
        if found is not None:
            shares = found.weights
        return self.rng.choices(list(shares), list(shares.values()))[0]

    def learn(self, kind: str, model: str, *, ok: bool, session: int, followed: bool) -> None:
        self.calls += 1
        self._waiting.append(
            Execution(
                id=self.calls, at=float(self.calls), session=session + 1, house="timmy",
                tool="answer", signature="0" * 16, shape="q", model=model, task_type=kind,
                outcome="ok" if ok else "error", followed=followed,
            )
        )  # fmt: skip

    def tick(self) -> None:
        self.choices.learn(self._waiting)
        self._waiting = []


def lost(job: tuple[str, Path, int]) -> float:
    """Answers lost against the better model of each type, of each half where it swaps."""
    name, directory, seed = job
    rows, chooser, got = questions(name, directory, seed), Chooser(["a", "b"], seed), 0
    best: dict[tuple[str, bool], list[int]] = {}
    for number, question in enumerate(rows):
        model = chooser.draw(question.kind)
        ok = question.right[model == "b"]
        got += ok
        part = best.setdefault((question.kind, "swap" in name and number >= len(rows) // 2), [0, 0])
        for i, right in enumerate(question.right):
            part[i] += right
        chooser.learn(question.kind, model, ok=ok, session=number // SESSION, followed=True)
        if number % TICK == TICK - 1:
            chooser.tick()
    return float(sum(max(part) for part in best.values()) - got)


def flips(seed: int) -> float:
    """Changes of the leader among four equals in 10,000 calls, of which a fifth does not follow."""
    chooser, last, changes = Chooser("abcd", seed), None, 0
    rng = random.Random(f"equal {seed}")
    for number in range(10_000):
        followed = rng.random() < 0.8
        model = chooser.draw("q") if followed else rng.choice("abcd")
        chooser.learn("q", model, ok=rng.random() < 0.85, session=number, followed=followed)
        chooser.tick()
        now = chooser.leader("q")
        changes += last is not None and now != last
        last = now
    return float(changes)


def leads(job: tuple[float, int, float, int]) -> bool:
    """Whether the better of two leads from so many calls on, to the thousandth."""
    gain, within, correlation, seed = job
    rng, chooser, wrong = random.Random(f"gain {seed}"), Chooser(["a", "b"], seed), 0
    for session in range(200):
        levels = [_session_level(rng, p, correlation) for p in (0.6, 0.6 + gain)]
        model = chooser.draw("q")
        for _ in range(SESSION):
            model = model if correlation else chooser.draw("q")
            ok = rng.random() < levels[model == "b"]
            chooser.learn("q", model, ok=ok, session=session, followed=True)
        chooser.tick()
        if chooser.leader("q") != "b":
            wrong = (session + 1) * SESSION
    return wrong < within


def _session_level(rng: random.Random, p: float, correlation: float) -> float:
    if not correlation:
        return p
    spread = (1.0 - correlation) / correlation
    return rng.betavariate(p * spread, (1.0 - p) * spread)


def _share(z: float) -> float:
    return 1.0 / (1.0 + math.exp(-z))


def rows(directory: Path, *, seeds: int = 10, workers: int = 2) -> Iterator[Row]:
    """The table."""
    with ProcessPoolExecutor(workers) as pool:
        for name, bar in BARS.items():
            found = list(pool.map(lost, [(name, directory, seed) for seed in range(seeds)]))
            kind = "" if name == "GSM8K" else " (simulated)"
            yield _row(f"{name}{kind}", f"answers lost, mean of {seeds}", fmean(found), bar)
        found = list(pool.map(flips, range(seeds)))
        yield _row("four equals", "changes of the leader in 10,000 calls", fmean(found), 5.0)
        for gain, within, correlation, least in (
            (0.2, 60, 0.0, 25), (0.2, 60, 0.3, 22), (0.1, 300, 0.0, 24),
        ):  # fmt: skip
            jobs = [(gain, within, correlation, seed) for seed in range(30)]
            count = sum(pool.map(leads, jobs))
            words = f"+{gain:.0%}, correlation {correlation:g}"
            yield _row(words, f"of 30 lead for good by call {within}", count, least, at_least=True)


def _row(kind: str, figure: str, ours: float, bar: float, *, at_least: bool = False) -> Row:
    good = ours >= bar if at_least else ours <= bar
    return ("choice", kind, figure, f"{ours:.1f}", f"{bar:g}", "ok" if good else "MISSED")
