"""A policy in the place where a house looks for the user's own, as the daemon would publish it."""

from typing import Any

from tests.hermes.support.home import HermesHome
from tests.unit.house.documents import document, signed
from timmyd.clock import now


def publish(home: HermesHome, *, mode: str = "enforce", **parts: Any) -> None:
    """Publish a document for an hour from now on; `parts` are put in as they stand."""
    data = document(published_at=now(), data_through=now(), life_s=3_600.0, mode=mode)
    path = home.user_home / ".local" / "state" / "timmyd" / "policy.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(signed({**data, **parts}))
