"""PURE: whether decoding a document could fill the memory, told from its bytes before that is tried."""

import re
from typing import Final

from timmyd.errors import SessionError

MOST_PARTS: Final = 400_000
"""Objects and lists in one document; one decoded takes some hundred bytes. An agent's has a thousandth."""

LONGEST_TEXT_BYTES: Final = 16 << 20
"""Bytes of one text; with a rare letter in it each of them takes four."""

_MOST_TOKENS: Final = 3_000_000
_BRACKETS: Final = b"{["
_LOOK_FROM_BYTES: Final = 8 << 20
_LEAST_BYTES: Final = 3
_TOKEN: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[{\[,]', re.DOTALL)


def refuse_dense(data: bytes | memoryview) -> None:
    """Refuse what no conversation looks like; a few microseconds for most.

    A whole object takes three bytes with its comma, so a short document cannot hold too many. Brackets within texts are no objects, so where there are many they are told apart, once.

    Raises:
        SessionError: `too_dense`, with what there is too much of.
    """
    if len(data) <= _LEAST_BYTES * MOST_PARTS:
        return
    if len(data) < _LOOK_FROM_BYTES:
        whole = bytes(data)
        if whole.count(b"{") + whole.count(b"[") <= MOST_PARTS:
            return
    parts = 0
    for tokens, token in enumerate(_TOKEN.finditer(data)):
        size = token.end() - token.start()
        if size == 1:
            parts += data[token.start()] in _BRACKETS
        elif size > LONGEST_TEXT_BYTES:
            raise SessionError("too_dense", "$", "expected short texts, found one of many MiB")
        if parts > MOST_PARTS or tokens > _MOST_TOKENS:
            raise SessionError("too_dense", "$", f"expected at most {MOST_PARTS} objects and lists")
