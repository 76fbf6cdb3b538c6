"""PURE: what was learned, as a sentence each; the terminal and the page say the same."""

from timmyd.report import words
from timmyd.report.data import Report


def velocity_sentence(report: Report) -> str:
    """Whether success grows, with its interval, or that it is too early to say."""
    velocity = report.learning_velocity
    if velocity.velocity is None:
        return "Velocity: not known yet; it compares the last days with those before."
    low, high = velocity.interval or (None, None)
    return (
        f"Velocity: {words.name(velocity.velocity)}. Success {words.percent(velocity.previous_success_rate)}"
        f" before, {words.percent(velocity.recent_success_rate)} now: {words.points(velocity.improvement)}"
        + (f" (between {words.points(low)} and {words.points(high)})." if low is not None else ".")
    )


def accuracy_sentence(report: Report) -> str:
    """How good predictions were, against always saying the running mean."""
    accuracy = report.prediction_scores
    if not accuracy.samples or accuracy.brier is None:
        return "Prediction: no prediction has been scored yet."
    text = f"Prediction: Brier score {accuracy.brier:.3f} over {words.plural(accuracy.samples, 'call')}"
    if accuracy.baseline_brier:
        skill = 1 - accuracy.brier / accuracy.baseline_brier
        side = "better" if skill >= 0 else "worse"
        text += f", {words.percent(abs(skill))} {side} than the running mean ({accuracy.baseline_brier:.3f})"
    if accuracy.coverage is not None:
        text += f"; {words.percent(accuracy.coverage)} of its 95 % intervals held"
    return text + (f", since {accuracy.since[:10]}." if accuracy.since else ".")
