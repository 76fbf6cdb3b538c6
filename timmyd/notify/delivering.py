"""Deliveries under way: one a destination at a time, each in a thread, so that one that hangs delays no other."""

import threading
from collections.abc import Callable

from timmyd.notify.destinations import DeliveryError
from timmyd.notify.outbox import OutboxEntry


class Delivery:
    """One message on its way.

    Args:
        message: What is delivered.
        deliver: Hands it over; returns what was answered, or raises DeliveryError.
        done: Called from the thread when it is over.

    Attributes:
        answer: What was answered; None while it is under way or where it failed.
        error: Why it failed.
    """

    def __init__(
        self, message: OutboxEntry, deliver: Callable[[], str], done: Callable[[], None]
    ) -> None:
        self.message = message
        self.answer: str | None = None
        self.error: DeliveryError | None = None
        self._deliver = deliver
        self._done = done
        # a daemon: what is not answered when the process ends is delivered again after the next start
        self._thread = threading.Thread(target=self._run, name=message.to, daemon=True)
        self._thread.start()

    @property
    def is_over(self) -> bool:
        """Whether there is an answer or an error."""
        return self.answer is not None or self.error is not None

    def _run(self) -> None:
        try:
            self.answer = self._deliver()
        except DeliveryError as error:
            self.error = error
        except Exception as error:  # noqa: BLE001 - a library of others must not end the notifier
            self.error = DeliveryError(type(error).__name__)
        finally:
            self._done()


class Deliveries:
    """All that are under way, by destination."""

    def __init__(self) -> None:
        self._of: dict[str, Delivery] = {}
        self._news = threading.Condition()

    def is_busy(self, to: str) -> bool:
        """Whether a message to this destination is under way."""
        return to in self._of

    def start(self, message: OutboxEntry, deliver: Callable[[], str]) -> None:
        """Begin one; its destination must not be busy."""
        self._of[message.to] = Delivery(message, deliver, self._tell)

    def over(self, wait_s: float) -> list[Delivery]:
        """Those that are over; waits so long at most for all of them."""
        with self._news:
            self._news.wait_for(lambda: all(one.is_over for one in self._of.values()), wait_s)
        found = [one for one in self._of.values() if one.is_over]
        for one in found:
            del self._of[one.message.to]
        return found

    def _tell(self) -> None:
        with self._news:
            self._news.notify_all()
