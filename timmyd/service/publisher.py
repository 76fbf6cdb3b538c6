"""Publishes the engine's document when it says something new, or before the last one expires."""

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from timmyd.core.publishing import content_digest_without_times, encode
from timmyd.engine import IntelligenceEngine
from timmyd.errors import PublishError
from timmyd.house.circuit import CLOSED
from timmyd.service.publish import REAL_DISK, PolicyDisk, publish

_PACE_S = 5.0
"""Between two documents that decide the same."""


class Publisher:
    """Owns the policy file.

    Attributes:
        revision: Of the newest document; 0 before the first.
        published_at: Unix seconds; None before the first.
        waits_s: Seconds until figures that are held back may go out; 0 while none are.
    """

    def __init__(
        self, engine: IntelligenceEngine, target: Path, *, disk: PolicyDisk = REAL_DISK
    ) -> None:
        self.engine = engine
        self.target = target
        self.revision = max(engine.revision, _revision_in(target))
        self.published_at: float | None = None
        self.waits_s = 0.0
        self._disk = disk
        self._content: str | None = None
        self._decisions: object = None

    def publish(self, now: float, *, life_s: float, ahead_s: float = 0.0) -> bool:
        """Publish if there is a reason to; True if the file was replaced.

        The revision is in the database before it is in the file, so that no revision is ever used
        twice, whenever the process dies.

        Args:
            now: Unix seconds, as they are believed.
            life_s: How long houses obey what is published.
            ahead_s: So far the clock of this machine, and of the houses on it, is ahead of that.

        Raises:
            PublishError: The old file stands; the next call tries again.
        """
        revision = self.revision + 1
        document = self.engine.policy_document(revision=revision, now=now, ahead_s=ahead_s)
        content = content_digest_without_times(document)
        published_at = now + ahead_s
        age_s = math.inf if self.published_at is None else published_at - self.published_at
        fresh = 0 <= age_s < life_s / 2
        decisions = _decisions(document)
        is_new = content != self._content and (decisions != self._decisions or age_s >= _PACE_S)
        self.waits_s = 0.0
        if not is_new and fresh and self.target.exists():
            if content != self._content:
                self.waits_s = _PACE_S - age_s
            return False
        self.engine.announce(revision, now=now)
        self.revision = revision
        try:
            self.target.parent.mkdir(parents=True, exist_ok=True)
            publish(encode(document), self.target, disk=self._disk)
        except OSError as error:
            raise PublishError(str(self.target), error.strerror or str(error)) from error
        self.published_at = published_at
        self._decisions = decisions
        self._content = content
        return True


def _decisions(document: Mapping[str, Any]) -> object:
    """What houses obey at once; figures may wait a moment, for each file costs a sync of the disk."""
    breakers = [
        [item.get(key) for key in ("house", "tool", "model", "state")]
        for item in document.get("breakers", ())
        if item.get("state") != CLOSED  # those are on their way: figures
    ]
    return [
        breakers,
        *(document.get(key) for key in ("mode", "policies", "breaker_rule", "trials")),
    ]


def _revision_in(target: Path) -> int:
    """The revision of the file that is there; 0 if it is none of ours."""
    with suppress(OSError, ValueError, TypeError, AttributeError, RecursionError):
        revision = json.loads(target.read_bytes()).get("revision")
        if isinstance(revision, int) and not isinstance(revision, bool) and 0 < revision < 1 << 53:
            return revision
    return 0
