"""An outline of a YAML file: where its keys, lists and texts stand, and what they are.

Reads the part of YAML that people and Hermes write into a `config.yaml`: one document of nested
block mappings and lists, all five kinds of text, flow collections, anchors, tags and aliases. It
refuses the rest (explicit keys, directives, tabs that separate, several documents) and whatever
it is not sure of, so that an edit is never made in a file that was read wrongly.
"""

import re
from dataclasses import replace
from typing import Final

from timmyd.service.yaml_inline import (
    DEEPEST,
    SEPARATOR,
    Node,
    OutlineError,
    Pair,
    Source,
    plain,
    unquoted,
)

__all__ = ["Node", "OutlineError", "Pair", "outline"]

_PLAIN_KEY: Final = re.compile(
    r"""(?:[^\s\-?:,\[\]{}#&*!|>'"%@`]|-(?=\S))(?:[^\n\t:#]|:(?=\S)|(?<=\S)\#)*?(?=\ *:(?:[ \n]|\Z))""",
    re.VERBOSE,
)
_QUOTED_KEY: Final = re.compile(
    r"""(?:'(?:[^'\n]|'')*'|"(?:[^"\\\n]|\\.)*")(?=\ *:(?:[ \n]|\Z))""", re.VERBOSE
)
_LONGEST_KEY: Final = 1000
_DASH: Final = re.compile(r"-(?=[ \n]|\Z)")
_REST: Final = re.compile(r" *(?:(?<=[ \n\ufeff])#[^\n]*)?(?:\n|\Z)")
_SAYS_NOTHING: Final = re.compile(r" *(?:#[^\n]*)?(?:\n|\Z)")
_BLANK: Final = re.compile(r" *(?:\n|\Z)")
_BLOCK_TEXT: Final = re.compile(r"[|>](?:[+-]?(?P<a>[1-9]?)|(?P<b>[1-9])[+-])(?=[ \n]|\Z)")
_PLAIN_LINE: Final = re.compile(r"(?:[^\n\t:#]|:(?=\S)|(?<=\S)#)+")
_NOWHERE: Final = "found an indentation that fits nowhere"


def outline(text: str) -> Node:
    """Read a whole file.

    Raises:
        OutlineError: It is beyond this reader.
    """
    return _BlockReader(Source(text)).document()


class _BlockReader:
    """One pass over the text. Between two nodes `at` is the start of a line."""

    def __init__(self, source: Source) -> None:
        self.source, self.text = source, source.text
        self.at = source.begin
        self.depth = 0

    def document(self) -> Node:
        """The one document of the file."""
        self._skip()
        if self.text.startswith("%", self.at):
            self.source.fail("found a directive", self.at)
        if self.text.startswith("---", self.at) and SEPARATOR.match(self.text, self.at):
            self._finish(self.at + 3)
        column = self._peek()
        if column < 0:
            return Node("nothing", len(self.text), len(self.text))
        if column or not self._key(self.at):
            self.source.fail("expected a block of keys that are not indented", self.at)
        return self._mapping(0, self.at)

    def _skip(self) -> None:
        """Go to the next line with content, or to the end."""
        while self.at < len(self.text) and (line := _SAYS_NOTHING.match(self.text, self.at)):
            self.at = line.end()

    def _peek(self) -> int:
        """Go to the next line with content and tell its column; -1 at the end."""
        self._skip()
        if self.at >= len(self.text):
            return -1
        start = self.source.behind_spaces(self.at)
        if self.text[start] == "\t" or (start == self.at and SEPARATOR.match(self.text, start)):
            self.source.fail("expected one YAML document, found several or an end mark", start)
        return start - self.at

    def _finish(self, at: int) -> None:
        """Only a comment may follow on the line; go to the next one."""
        rest = _REST.match(self.text, at)
        if rest is None:
            at = self.source.behind_spaces(at)
            self.source.fail("found something behind a value, or a key inside of one", at)
        self.at = rest.end()

    def _key(self, at: int) -> re.Match[str] | None:
        key = _PLAIN_KEY.match(self.text, at) or _QUOTED_KEY.match(self.text, at)
        return key if key is not None and len(key[0]) < _LONGEST_KEY else None

    def _mapping(self, column: int, at: int) -> Node:
        """A block mapping whose first key stands at `at`."""
        pairs: list[Pair] = []
        while True:
            key = self._key(at)
            if key is None:
                self.source.fail("expected a key", at)
            colon = self.source.behind_spaces(key.end())
            node = self._value(colon + 1, column, of_key=True)
            pairs.append(Pair(unquoted(key[0]), at, node))
            following = self._peek()
            if following < column:
                return Node("map", pairs[0].at, node.end, pairs=tuple(pairs))
            at = self.at + following
            if following > column:
                self.source.fail(_NOWHERE, at)

    def _sequence(self, column: int, at: int) -> Node:
        """A block list whose first dash stands at `at`."""
        start, items = at, list[Node]()
        while _DASH.match(self.text, at):
            inner = self.source.behind_spaces(at + 1)
            if _DASH.match(self.text, inner) or self._key(inner):
                items.append(self._block(self.source.column(inner), inner, column))
            else:
                items.append(self._value(at + 1, column))
            following = self._peek()
            if following > column:
                self.source.fail(_NOWHERE, self.at + following)
            if following < column:
                break
            at = self.at + following
        return Node("list", start, items[-1].end, items=tuple(items))

    def _block(self, column: int, at: int, parent: int) -> Node:
        """The node that begins at `at`, below or behind a key or dash at the column `parent`."""
        self.depth += 1
        if self.depth > DEEPEST:
            self.source.fail("found a nesting that is too deep", at)
        if _DASH.match(self.text, at):
            node = self._sequence(column, at)
        elif self._key(at):
            node = self._mapping(column, at)
        else:
            node = self._value(at, parent)
        self.depth -= 1
        return node

    def _value(self, behind: int, parent: int, *, of_key: bool = False) -> Node:
        """What stands behind a colon or dash, on the same line or below."""
        mark, at = self.source.marks(self.source.behind_spaces(behind))
        if _REST.match(self.text, at):
            node = self._below(at, behind, parent, of_key=of_key)
        elif header := _BLOCK_TEXT.match(self.text, at):
            node = self._block_text(header, parent)
        elif inline := self.source.inline(at):
            node = inline
            self._finish(node.end)
        else:
            node = self._plain(at, parent)
        return replace(node, mark=mark) if mark else node

    def _below(self, at: int, behind: int, parent: int, *, of_key: bool) -> Node:
        self._finish(at)
        column = self._peek()
        start = self.at + max(column, 0)
        if column > parent:
            return self._block(column, start, parent)
        if of_key and column == parent and _DASH.match(self.text, start):
            return self._sequence(column, start)
        return Node("nothing", behind, behind)

    def _plain(self, start: int, parent: int) -> Node:
        """A text without quotes: it goes on in the lines that are indented more than its key."""
        self.source.check_plain_start(start)
        at = start
        while True:
            line = _PLAIN_LINE.match(self.text, at)
            end = at if line is None else at + len(line[0].rstrip(" "))
            self._finish(end)
            after = self.at
            while after < len(self.text) and (blank := _BLANK.match(self.text, after)):
                after = blank.end()
            inner = self.source.behind_spaces(after)
            is_over = inner - after <= parent or self.text[inner : inner + 1] in {"#", ""}
            if is_over or "#" in self.text[end : self.at]:
                return plain(self.text, start, end)
            at = inner

    def _block_text(self, header: re.Match[str], parent: int) -> Node:
        """A text of whole lines, up to the first line that is indented less.

        Its `text` goes as far as its value does, so that an edit behind it shows if it reaches in.
        """
        self._finish(header.end())
        digit = header["a"] or header["b"]
        want = parent + int(digit) if digit else None
        widest, end = 0, self.at
        while self.at < len(self.text):
            inner = self.source.behind_spaces(self.at)
            indent, line_end = inner - self.at, self.text.find("\n", inner) + 1 or len(self.text)
            if _BLANK.match(self.text, self.at) and (want is None or indent <= want):
                widest = max(widest, indent - self.source.raw.startswith("\r", inner - 1))
            else:
                if indent <= parent or (want is not None and indent < want):
                    break
                if want is None and widest not in {0, indent}:
                    self.source.fail(
                        "found blank lines that are indented in another way than the text", inner
                    )
                want, end = want or indent, line_end
            self.at = line_end
        if "+" in header[0]:
            end = self.at
        text = self.text[header.start() : end]
        return Node(
            "text", header.start(), end, text.removesuffix("\n") if "-" in header[0] else text
        )
