"""The engine: takes sessions in, learns from them, decides, and answers; `IntelligenceEngine` is its face."""

from timmyd.engine.intelligence import IntelligenceEngine

__all__ = ["IntelligenceEngine"]
