"""Modules that look as if they were not installed, for as long as somebody imports."""

import importlib
import sys

import pytest

from timmyd.service.imports import hidden


def test_a_hidden_module_cannot_be_imported_and_afterwards_can(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)

    with hidden("colorsys"), pytest.raises(ImportError):
        importlib.import_module("colorsys")

    assert importlib.import_module("colorsys").rgb_to_hls(0, 0, 0) == (0.0, 0.0, 0.0)


def test_a_module_that_is_there_already_stays() -> None:
    with hidden("sys"):
        assert importlib.import_module("sys") is sys
