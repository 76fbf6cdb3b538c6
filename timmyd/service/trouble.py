"""Trouble with our own database: said once, tried again after a pause, over only when a write has worked."""

from timmyd.errors import StoreError
from timmyd.service.logs import Once
from timmyd.service.outside import Outside

_RETRY_S = 1.0


class Trouble:
    """Whether the database is in trouble, and until when to leave it alone.

    Attributes:
        words: What is wrong, None if nothing is.
        until: When to try again, on the steady clock.
    """

    def __init__(self, outside: Outside) -> None:
        self.words: str | None = None
        self.until = 0.0
        self._outside = outside
        self._once = Once()

    def met(self, error: StoreError) -> bool:
        """The database refused; True if this is news.

        Raises:
            StoreError: Nothing will ever help: the process must end.
        """
        if not error.retry:
            raise error
        self.until = self._outside.steady() + _RETRY_S
        self._outside.metrics.failure("store")
        if not self._once.first("store", error.detail):
            return False
        self.words = error.detail
        self._outside.log.event("store_failed", file=error.path, detail=error.detail)
        return True

    def over(self) -> None:
        """A write has worked."""
        if self.words is not None:
            self.words = None
            self._once.forget("store")
            self._outside.log.event("store_recovered")
