"""Moments at which something is due, on a clock that never jumps."""


class Deadline:
    """A moment at which something is due, and the time between two of them, in seconds."""

    def __init__(self, every_s: float) -> None:
        self.every_s = every_s
        self.at = 0.0

    def is_due(self, now: float, *, early_s: float = 0.0) -> bool:
        """Whether the moment has come, or nearly and we are awake; if so the next one is set."""
        if now + early_s < self.at:
            return False
        self.at = now + self.every_s
        return True

    def soon(self, now: float, within_s: float) -> None:
        """Be due within a time, if not sooner anyway."""
        self.at = min(self.at, now + within_s)
