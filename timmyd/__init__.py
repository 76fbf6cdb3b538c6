"""timmyd: learns from the tool calls of Hermes agents and publishes the policy that they obey.

The engine is imported when it is first asked for, so that a house that wants only
`timmyd.house` loads the standard library and nothing else.
"""

from typing import TYPE_CHECKING, Any

from timmyd.house import KIT_VERSION

if TYPE_CHECKING:
    from timmyd.core.model import AdaptationEvent, ExecutionPattern, ModelPerformance
    from timmyd.engine import IntelligenceEngine
    from timmyd.store.database import PatternDatabase

__version__ = KIT_VERSION

__all__ = [
    "AdaptationEvent",
    "ExecutionPattern",
    "IntelligenceEngine",
    "ModelPerformance",
    "PatternDatabase",
    "__version__",
]

_HOMES = {
    "AdaptationEvent": "timmyd.core.model",
    "ExecutionPattern": "timmyd.core.model",
    "IntelligenceEngine": "timmyd.engine",
    "ModelPerformance": "timmyd.core.model",
    "PatternDatabase": "timmyd.store.database",
}


def __getattr__(name: str) -> Any:
    """Import an exported name from its home on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(name)
    from importlib import import_module  # noqa: PLC0415 - the point is to import late

    return getattr(import_module(_HOMES[name]), name)
