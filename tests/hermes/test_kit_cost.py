"""What the kit costs an agent, beside what the agent's own work costs, in one run."""

import json
import statistics
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from tests.hermes.support.agent import HermesAgent
from tests.hermes.support.kit import install_kit
from tests.hermes.support.script import terminal
from tests.unit.house.documents import document, figures
from timmyd.core.publishing import encode
from timmyd.house.hermes import HermesPlugin

CALLS = 60
ATTEMPTS = 3
LARGEST_SHARE = 0.06
GUIDE_CALL_MS = 0.5
"""What half of the calls should cost at most, around the tool itself: printed, since all takes longer on a busy machine;
held is `LARGEST_SHARE` of what half of the agent's own take."""
AROUND = ("enter", "leave", "mark")
GUIDE_START_MS = 30.0

METER = f"""
import atexit, json, time
_spent = []
def _metered(name, hook):
    def call(*args, **kwargs):
        entered, process, began = time.thread_time(), time.process_time(), time.time()
        try:
            return hook(*args, **kwargs)
        finally:
            _spent.append((name, time.thread_time() - entered, process, began))
    return call
for _name in {(*HermesPlugin.HOOKS, *AROUND)!r}:
    setattr(HermesPlugin, _name, _metered(_name, getattr(HermesPlugin, _name)))
@atexit.register
def _write():
    with open({{path!r}}, "w") as file:
        json.dump(_spent, file)
"""
START = """\
{text}
_register = register
class _Notes:
    # Hermes loads modules of its own when a command is registered; that is not the kit's cost.
    def __init__(self):
        self.noted = []
    def __getattr__(self, name):
        return lambda *args, **kwargs: self.noted.append((name, args, kwargs))
def register(ctx):
    import time
    notes = _Notes()
    entered = time.thread_time()
    _register(notes)
    spent = time.thread_time() - entered
    for name, args, kwargs in notes.noted:
        getattr(ctx, name)(*args, **kwargs)
    with open({path!r}, "w") as file:
        file.write(str(spent))
"""


def test_a_call_and_a_start_cost_at_most_six_hundredths_of_the_agents_own(
    hermes: HermesAgent, tmp_path: Path
) -> None:
    install_kit(hermes.home)
    policy = hermes.home.user_home / ".local" / "state" / "timmyd" / "policy.json"
    policy.parent.mkdir(parents=True)
    shapes = {f"git {n}": figures(0.8) for n in range(50)}
    predictions = {"timmy": {"terminal": {**figures(0.9), "shapes": shapes}}}
    policy.write_bytes(encode(document(published_at=time.time(), predictions=predictions)))
    folder = hermes.home.path / "plugins" / "timmy"
    hermes.run_turn(hermes.server.turn(*terminal("echo warm")))  # bytecode of both is there now
    spent, start = tmp_path / "spent.json", tmp_path / "start.txt"
    with (folder / "hermes.py").open("a", encoding="utf-8") as file:
        file.write(METER.format(path=str(spent)))
    init = folder / "__init__.py"
    init.write_text(START.format(text=init.read_text("utf-8"), path=str(start)), "utf-8")
    hermes.run_turn(hermes.server.turn(*terminal("echo warm")))

    tables: list[str] = []
    for _ in range(ATTEMPTS):  # what else runs on the machine shows in the rarest calls of one run
        hermes.run_turn(hermes.server.turn(*terminal(*["echo again"] * CALLS)), timeout=300)

        hooks = json.loads(spent.read_text())
        starts = [row for row in hooks if row[0] == "enter"]
        kit_s: list[float] = []
        own_s: list[float] = []
        for first, following in pairwise(starts):
            within = [row[1] for row in hooks if first[3] <= row[3] < following[3]]
            kit_s.append(sum(within))
            own_s.append(following[2] - first[2] - kit_s[-1])
        calls_s = [
            sum(row[1] for row in hooks if first[3] <= row[3] < following[3] and row[0] in AROUND)
            for first, following in pairwise(starts)
        ]
        call_ms = 1e3 * statistics.median(calls_s)
        kit_p99 = statistics.quantiles(kit_s, n=100)[98]
        own_p99 = statistics.quantiles(own_s, n=100)[98]
        kit_start_s = float(start.read_text())
        own_start_s = starts[0][2] - kit_start_s
        table = (
            f"hermes {hermes.version}: a call: kit {call_ms:.2f} ms (guide {GUIDE_CALL_MS}), with "
            f"the request for it {1e3 * statistics.median(kit_s):.2f} ms, 99 % {1e3 * kit_p99:.2f} ms; "
            f"agent {1e3 * statistics.median(own_s):.1f} ms, 99 % {1e3 * own_p99:.1f} ms; "
            f"start: kit {1e3 * kit_start_s:.0f} ms (guide {GUIDE_START_MS}), "
            f"agent {1e3 * own_start_s:.0f} ms"
        )
        tables.append(table)
        sys.stdout.write(f"\n{table}\n")
        most_ms = LARGEST_SHARE * 1e3 * statistics.median(own_s)
        cheap = call_ms <= most_ms and kit_p99 <= LARGEST_SHARE * own_p99
        if cheap and kit_start_s <= LARGEST_SHARE * own_start_s:
            return
    pytest.fail("\n".join(tables))
