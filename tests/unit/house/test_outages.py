"""A provider that one session finds down is down for all, until it answers; one that is only unsteady is not."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from timmyd.house.outages import DEFINITE, WAITS, FailedRequest, Outages, Upstream
from timmyd.house.providers import PROVIDERS_FILE, Providers

NOW = 1_795_392_000.0
HERE = Upstream.of("openrouter", "https://api.example/v1", "m")
LOST = FailedRequest("overloaded", gave_up=True)
TRIED = FailedRequest("overloaded", gave_up=False)


def providers(folder: Path, now: list[float]) -> Providers:
    return Providers(folder, clock=lambda: now[0], draw=lambda: 0.0)


def lose(one: Providers, upstream: Upstream = HERE) -> None:
    """A turn is lost as Hermes loses it: two tries more, then it gives up."""
    for failure in (TRIED, TRIED, LOST):
        one.failed(upstream, failure)


def passes(one: Providers, upstream: Upstream = HERE) -> bool:
    return one.admit(upstream, stands_aside=lambda: False) is None


def test_what_one_session_finds_all_processes_know_and_one_probe_brings_it_back(
    tmp_path: Path,
) -> None:
    now = [NOW]
    one, other = providers(tmp_path, now), providers(tmp_path, now)
    lose(one)
    assert [passes(other) for _ in range(20)] == [False] * 20
    now[0] += 5.0
    assert [passes(process) for process in (one, other, one, other)] == [True] + [False] * 3
    other.answered(HERE)
    assert passes(one)
    assert passes(other)


def test_what_tells_of_a_credential_is_of_one_home_and_the_rest_of_all_of_a_user(
    tmp_path: Path,
) -> None:
    one, other = (
        Providers(tmp_path, home, clock=lambda: NOW, draw=lambda: 0.0) for home in ("/a", "/b")
    )
    one.failed(HERE, FailedRequest("billing", gave_up=True, needed=1))
    assert (passes(one), passes(other)) == (False, True)
    one.answered(HERE)
    assert passes(one)
    lose(one)
    assert (passes(one), passes(other)) == (False, False)
    other.answered(HERE)
    assert (passes(one), passes(other)) == (True, True)


def test_tries_of_a_request_that_goes_on_hold_nobody_back(tmp_path: Path) -> None:
    one = providers(tmp_path, [NOW])
    for _ in range(20):
        one.failed(HERE, TRIED)
    assert passes(one)


def test_a_probe_that_never_ends_is_followed_by_another(tmp_path: Path) -> None:
    now = [NOW]
    one = providers(tmp_path, now)
    lose(one)
    passed = 0
    for _ in range(3_600):
        now[0] += 1.0
        passed += passes(one)
    assert passed == 720


def test_an_hour_of_failing_probes_costs_two_a_minute_and_it_is_back_within_one(
    tmp_path: Path,
) -> None:
    now = [NOW]
    one = providers(tmp_path, now)
    lose(one)
    probes = 0
    for _ in range(3_600):
        now[0] += 1.0
        if passes(one):
            probes += 1
            one.failed(HERE, LOST)
    assert 110 <= probes <= 130
    waited = 0
    while not passes(one):
        now[0] += 1.0
        waited += 1
    assert waited <= 60


def test_one_that_answers_now_and_then_is_not_down(tmp_path: Path) -> None:
    now = [NOW]
    one = providers(tmp_path, now)
    held = 0
    for number in range(2_000):
        now[0] += 0.2
        failed = number * 7 % 10 < 3  # three of ten, three in a row at most
        held += not passes(one)
        if failed:
            one.failed(HERE, LOST)
        else:
            one.answered(HERE)
    assert held == 0


@pytest.mark.parametrize("error_class", sorted(WAITS))
def test_every_class_has_its_waits_and_definite_ones_need_no_second_failure(
    tmp_path: Path, error_class: str
) -> None:
    now = [NOW]
    one = providers(tmp_path, now)
    needed = 1 if error_class in DEFINITE else 3
    for number in range(1, needed + 1):
        assert passes(one), number
        one.failed(HERE, FailedRequest(error_class, gave_up=True, needed=needed))
    assert not passes(one)
    first, most = WAITS[error_class]
    assert 0.0 < first <= most <= 60.0
    now[0] += first
    assert passes(one)


@pytest.mark.parametrize(
    "error_class", ["", "unknown", "context_overflow", "content_policy_blocked"]
)
def test_what_says_nothing_of_a_provider_is_not_kept(tmp_path: Path, error_class: str) -> None:
    one = providers(tmp_path, [NOW])
    for _ in range(50):
        one.failed(HERE, FailedRequest(error_class, gave_up=True, needed=1))
    assert passes(one)
    assert not (tmp_path / PROVIDERS_FILE).exists()


def test_another_model_of_an_address_is_tried_itself_until_two_are_down(tmp_path: Path) -> None:
    now = [NOW]
    one = providers(tmp_path, now)
    models = [Upstream.of("p", "http://here/v1", name) for name in "abc"]
    elsewhere = Upstream.of("p", "http://there/v1", "a")
    lose(one, models[0])
    assert [passes(one, upstream) for upstream in (*models, elsewhere)] == [False, True, True, True]
    lose(one, models[1])
    assert [passes(one, upstream) for upstream in (*models, elsewhere)] == [
        False, False, False, True
    ]  # fmt: skip
    one.answered(models[1])
    assert passes(one, models[2])


@pytest.mark.parametrize("moved", [-86_400.0 * 400, 86_400.0 * 400, -61.0])
def test_a_clock_that_jumps_holds_nobody_back(tmp_path: Path, moved: float) -> None:
    now = [NOW]
    one = providers(tmp_path, now)
    lose(one)
    now[0] += moved
    assert passes(one)


@pytest.mark.parametrize(
    "junk",
    [
        b"", b"{", b"[]" * 9, b"[[1,2]]", b'{"a": 1}', b"[null]", b"\xff\xfe", b"[" * 90_000,
        b'[["a","m","overloaded",1e999,0,0,5,1e999,[]]]',
        b'[["a","m","overloaded",3,0,0,"inf","nan",[]]]',
        b'[["a","m","nonsense",3,0,0,5,1e18,[]]]',
        b'[["a","m",{"x":1},3,0,0,5,1e18,[]]]',
    ],
)  # fmt: skip
def test_a_file_of_garbage_holds_nobody_back_and_is_written_anew(
    tmp_path: Path, junk: bytes
) -> None:
    (tmp_path / PROVIDERS_FILE).write_bytes(junk)
    one = providers(tmp_path, [NOW])
    assert passes(one)
    assert passes(one, Upstream("a", "m"))
    lose(one)
    assert not passes(providers(tmp_path, [NOW]))


def test_a_folder_that_cannot_be_written_leaves_a_process_with_what_it_knows_itself(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("")
    now = [NOW]
    one = providers(tmp_path / "file", now)
    lose(one)
    assert not passes(one)
    now[0] += 5.0
    assert passes(one)
    one.answered(HERE)
    assert passes(one)


def test_processes_at_once_lose_no_failure(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from timmyd.house.providers import Providers\n"
        "from timmyd.house.outages import FailedRequest, Upstream\n"
        "one = Providers(Path(sys.argv[1]))\n"
        "for _ in range(50): one.failed(Upstream('a', 'm'), FailedRequest('timeout', gave_up=False))\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) for _ in range(4)]
    assert [process.wait(60) for process in running] == [0] * 4
    ((*_, failures, _, _, _, _, _),) = json.loads((tmp_path / PROVIDERS_FILE).read_bytes())
    assert failures == 200


def test_nothing_of_an_address_or_a_secret_stands_in_the_file(tmp_path: Path) -> None:
    one = providers(tmp_path, [NOW])
    lose(
        one,
        Upstream.of("acme-llm", "https://me:hunter2@llm.acme.example/v1?key=s3cr3t", "house-model"),
    )
    text = (tmp_path / PROVIDERS_FILE).read_text()
    for word in ("acme", "hunter2", "s3cr3t", "house-model"):
        assert word not in text


@given(st.text(), st.text(), st.text())
def test_any_text_names_an_upstream(provider: str, base_url: str, model: str) -> None:
    assert Upstream.of(provider, base_url, model) == Upstream.of(provider, base_url, model)


class Machine(RuleBasedStateMachine):
    """Whatever happens, a file tells the same as memory, and nobody waits longer than a minute."""

    def __init__(self) -> None:
        super().__init__()
        self.outages = Outages()
        self.now = NOW

    @rule(seconds=st.sampled_from([0.0, 1.0, 30.0, 61.0, 700.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(
        model=st.sampled_from("ab"),
        error_class=st.sampled_from(sorted(WAITS)),
        gave_up=st.booleans(),
    )
    def fail(self, model: str, error_class: str, gave_up: bool) -> None:
        failure = FailedRequest(error_class, gave_up=gave_up)
        self.outages.failed(Upstream("x", model), failure, self.now, jitter=0.5)

    @rule(model=st.sampled_from("ab"))
    def answer(self, model: str) -> None:
        self.outages.answered(Upstream("x", model), self.now)
        assert self.outages.down(Upstream("x", model), self.now) is None

    @rule(model=st.sampled_from("abc"))
    def ask(self, model: str) -> None:
        upstream = Upstream("x", model)
        if self.outages.down(upstream, self.now) is None:
            was_down = (
                upstream in self.outages.upstreams and self.outages.upstreams[upstream].is_down
            )
            self.outages.probe(upstream, self.now)
            assert (self.outages.down(upstream, self.now) is not None) == was_down or model == "c"

    @invariant()
    def a_file_tells_the_same(self) -> None:
        assert Outages.load(self.outages.dump()).upstreams == self.outages.upstreams

    @invariant()
    def nobody_waits_longer_than_a_minute(self) -> None:
        for model in "abc":
            assert self.outages.down(Upstream("x", model), self.now + 60.0) is None


TestMachine = Machine.TestCase
