"""Any history gives probabilities, and a restart anywhere changes nothing."""

from hypothesis import given, strategies as st

from timmyd.core.estimating.predict import Predictor

NAMES = st.text(max_size=6)
TIMES = st.floats(0.0, 4e9)
HISTORY = st.lists(st.tuples(NAMES, NAMES, NAMES, NAMES, st.booleans(), TIMES, TIMES), max_size=60)


@given(HISTORY, st.integers(0, 60))
def test_any_history_gives_probabilities_and_survives_a_restart(
    history: list[tuple[str, str, str, str, bool, float, float]], cut: int
) -> None:
    one, two = Predictor(), Predictor()
    for n, (house, tool, shape, arguments, ok, at, now) in enumerate(history):
        if n == cut:
            two = Predictor(two.dump())
        for predictor in (one, two):
            predictor.learn(house, tool, shape, arguments, ok=ok, at=at, now=now, owner=house[:1])
            for of in ((), (shape,), (shape, arguments)):
                found = predictor.tell(house, tool, *of)
                assert found is None or 0.0 <= found.low <= found.success <= found.high <= 1.0
    assert one.dump() == two.dump()
