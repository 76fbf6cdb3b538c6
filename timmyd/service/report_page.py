"""Keeps the report as one page beside the policy, for any web server to show; none unless `[files] report` is set."""

from pathlib import Path

from timmyd.engine import IntelligenceEngine
from timmyd.errors import PublishError
from timmyd.service.logs import EventLogger, Once
from timmyd.service.publish import publish

REPORT_EVERY_S = 300.0


class ReportPage:
    """Rewrites the page when its time has come and nothing more urgent waits."""

    def __init__(self, engine: IntelligenceEngine, log: EventLogger) -> None:
        """Due at once.

        Args:
            engine: What the page is made of.
            log: Is told once what keeps it from being written.
        """
        self._engine = engine
        self._log = log
        self._once = Once()
        self._target: Path | None = None
        self._due_at = float("-inf")

    def keep(self, target: Path | None, now: float) -> bool:
        """Write it if it is due; whether it was written.

        Args:
            target: Where; None for nowhere. A new one is written at once.
            now: Seconds of a clock that never jumps.

        Raises:
            StoreError: The database cannot be read.
        """
        if target != self._target:
            self._target = target
            self._due_at = float("-inf")
        if target is None or now < self._due_at:
            return False
        self._due_at = now + REPORT_EVERY_S
        # a daemon that keeps no page need not carry what makes one
        from timmyd.report.collect import collect  # noqa: PLC0415
        from timmyd.report.page import render  # noqa: PLC0415

        page = render(collect(self._engine)).encode("utf-8", "backslashreplace")
        try:
            publish(page, target)
        except PublishError as error:
            if self._once.first("page", str(error)):
                self._log.event("page_failed", file=str(target), detail=error.detail)
            return False
        self._once.forget("page")
        return True
