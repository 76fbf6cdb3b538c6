"""Any history gives probabilities, and a restart anywhere changes nothing."""

from hypothesis import given, strategies as st

from timmyd.core.estimating.predict import Predictor

NAMES = st.text(max_size=6)
HISTORY = st.lists(
    st.tuples(NAMES, NAMES, st.none() | NAMES, st.none() | NAMES, st.none() | st.integers(0, 23), st.booleans()),
    max_size=60,
)  # fmt: skip


@given(HISTORY, st.integers(0, 60))
def test_any_history_gives_probabilities_and_survives_a_restart(
    history: list[tuple[str, str, str | None, str | None, int | None, bool]], cut: int
) -> None:
    one, two = Predictor(), Predictor()
    for n, (tool, house, signature, shape, hour, ok) in enumerate(history):
        if n == cut:
            two = Predictor.load(two.dump())
        for model in (one, two):
            prediction = model.predict(tool, house, signature=signature, shape=shape, hour=hour)
            assert 0.0 <= prediction.low <= prediction.high <= 1.0
            if prediction.success is not None:
                assert prediction.low <= prediction.success <= prediction.high
            model.learn(
                tool, house, ok=ok, at=float(n), signature=signature, shape=shape, hour=hour
            )
    assert one.dump() == two.dump()
