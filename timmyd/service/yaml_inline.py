"""YAML that stands within lines: the text of a file, quoted texts, aliases and collections in brackets."""

import re
from dataclasses import dataclass, replace
from typing import Final, Literal, NoReturn

Kind = Literal["map", "list", "text", "nothing", "alias"]

DEEPEST: Final = 60
_FOREIGN: Final = re.compile(
    "\r(?!\n)|[^\t\n\r -~\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
_MARK: Final = re.compile(
    r"(?:&[A-Za-z0-9_-]+|!!(?:binary|bool|float|int|map|null|omap|pairs|seq|set|str|timestamp))(?=[ \n]|\Z)"
)
_ALIAS: Final = re.compile(r"\*[A-Za-z0-9_-]+(?=[\s,\]}:]|\Z)")
_NULLS: Final = frozenset({"null", "Null", "NULL", "~"})
_QUOTED: Final = re.compile(r"""'(?:[^']|'')*'|"(?:[^"\\]|\\.)*\"""", re.DOTALL)
_WORD: Final = re.compile(r"(?:[^\s,\[\]{}:#?]|:(?=[^\s,\[\]{}])|(?<=[^\s,\[{])#)+")
_INSIDE_SEPARATOR: Final = re.compile(r"\n(?:---|\.\.\.)(?=\s)")
SEPARATOR: Final = re.compile(r"(?:---|\.\.\.)(?=[ \n]|\Z)")
_NO_PLAIN_START: Final = frozenset(",[]{}#&*!|>'\"%@`")


class OutlineError(Exception):
    """The file is beyond this reader.

    Attributes:
        line: Where, from 1.
        found: What is there, in words.
    """

    def __init__(self, line: int, found: str) -> None:
        self.line = line
        self.found = found
        super().__init__(f"line {line}: {found}")


@dataclass(frozen=True, slots=True)
class Pair:
    """One key of a mapping, and where it stands. `key` is None where it is written with escapes."""

    key: str | None
    at: int
    node: "Node"


@dataclass(frozen=True, slots=True)
class Node:
    """A value and where it stands; offsets count characters.

    Attributes:
        kind: What it is.
        start: Offset of its first character.
        end: Offset behind its last one; of a block collection: behind its last content.
        text: A text, alias or word for nothing as it is written, to the line end where that belongs to it.
        mark: Its anchor and tag; empty without.
        is_flow: A collection in brackets.
        comma: Of a flow collection: the offset behind a comma that nothing follows; -1 without.
        pairs: Of a mapping.
        items: Of a list.
    """

    kind: Kind
    start: int
    end: int
    text: str = ""
    mark: str = ""
    is_flow: bool = False
    comma: int = -1
    pairs: tuple[Pair, ...] = ()
    items: tuple["Node", ...] = ()

    @property
    def name(self) -> str | None:
        """What a text of one line without escapes says; None for all else."""
        if self.kind != "text" or self.mark or self.text[:1] in {"|", ">"} or "\n" in self.text:
            return None
        return unquoted(self.text)


def unquoted(raw: str) -> str | None:
    """What a text on one line says; None where it has escapes."""
    if raw[:1] == "'":
        return None if "''" in raw[1:-1] else raw[1:-1]
    if raw[:1] == '"':
        return None if "\\" in raw else raw[1:-1]
    return raw


def plain(text: str, start: int, end: int) -> Node:
    """A text without quotes, or one of the words that stand for nothing."""
    raw = text[start:end]
    return Node("nothing" if raw in _NULLS else "text", start, end, raw)


class Source:
    """The characters of a file.

    Raises:
        OutlineError: They are no YAML.
    """

    def __init__(self, text: str) -> None:
        if found := _FOREIGN.search(text, 1 if text.startswith("\ufeff") else 0):
            raise OutlineError(text.count("\n", 0, found.start()) + 1, "found a control character")
        # The same length, and a space before the end of a line means nothing anywhere.
        self.raw = text
        self.text = text.replace("\r\n", " \n")
        self.begin = 1 if text.startswith("\ufeff") else 0
        self._anchors: set[str] = set()

    def fail(self, found: str, at: int) -> NoReturn:
        """Refuse the file for what stands at `at`."""
        if self.text.startswith("\t", at):
            found = "found a tab outside of a text"
        raise OutlineError(self.text.count("\n", 0, at) + 1, found)

    def behind_spaces(self, at: int) -> int:
        """The first offset from `at` on that is no space."""
        while self.text.startswith(" ", at):
            at += 1
        return at

    def column(self, at: int) -> int:
        """How many characters stand before it in its line."""
        return at - max(self.text.rfind("\n", 0, at) + 1, self.begin)

    def marks(self, at: int) -> tuple[str, int]:
        """Anchor and tag at `at`, and where the value behind them begins."""
        mark = ""
        while found := _MARK.match(self.text, at):
            if found[0][0] in mark:
                self.fail("found two anchors or two tags", at)
            mark += found[0]
            if found[0].startswith("&"):
                if (alias := "*" + found[0][1:]) in self._anchors:
                    self.fail("found an anchor twice", at)
                self._anchors.add(alias)
            at = self.behind_spaces(found.end())
        return mark, at

    def check_plain_start(self, at: int) -> None:
        """A text without quotes begins with no sign of YAML."""
        first, second = self.text[at], self.text[at + 1 : at + 2]
        if first in _NO_PLAIN_START or (first in "-?:" and second in {" ", "\n", ""}):
            self.fail("found a value that begins with a sign of YAML", at)

    def inline(self, at: int) -> Node | None:
        """The alias, quoted text or collection in brackets that begins at `at`; None: no such."""
        if found := _ALIAS.match(self.text, at):
            if found[0] not in self._anchors:
                self.fail("found an alias of what was not said before", at)
            return Node("alias", at, found.end(), found[0])
        if found := _QUOTED.match(self.text, at):
            if _INSIDE_SEPARATOR.search(found[0]):
                self.fail("found a mark between documents inside a text", at)
            return Node("text", at, found.end(), found[0])
        return self._flow(at, 0) if self.text[at] in "[{" else None

    def _flow(self, start: int, depth: int) -> Node:
        if depth > DEEPEST:
            self.fail("found a nesting that is too deep", start)
        is_map = self.text[start] == "{"
        close, pairs, items, comma = "}" if is_map else "]", list[Pair](), list[Node](), -1
        at = self._gap(start + 1)
        while not self.text.startswith(close, at):
            node = self._flow_node(at, depth)
            at = self._gap(node.end)
            if is_map:
                pair = self._flow_pair(node, at, depth)
                pairs.append(pair)
                at = self._gap(max(pair.node.end, at))
            else:
                items.append(node)
            comma = -1
            if self.text.startswith(",", at):
                comma = at + 1
                at = self._gap(comma)
            elif not self.text.startswith(close, at):
                self.fail("expected a comma or the end of the brackets", at)
        kind: Kind = "map" if is_map else "list"
        return Node(
            kind, start, at + 1,
            is_flow=True, comma=comma, pairs=tuple(pairs), items=tuple(items),
        )  # fmt: skip

    def _flow_pair(self, key: Node, at: int, depth: int) -> Pair:
        if key.kind != "text" or key.mark or "\n" in key.text:
            self.fail("found a key that is no plain text", key.start)
        node = Node("nothing", at, at)
        if self.text.startswith(":", at):
            if "\n" in self.text[key.end : at]:
                self.fail("found a colon that is not in the line of its key", at)
            behind = self._gap(at + 1)
            node = Node("nothing", at + 1, at + 1)
            if self.text[behind] not in ",}":
                node = self._flow_node(behind, depth)
        return Pair(unquoted(key.text), key.start, node)

    def _flow_node(self, at: int, depth: int) -> Node:
        mark, at = self.marks(at)
        if self.text[at : at + 1] in {"[", "{"}:
            node: Node | None = self._flow(at, depth + 1)
        else:
            node = self.inline(at) if at < len(self.text) else None
        if node is None:
            node = self._flow_plain(at)
        return replace(node, mark=mark) if mark else node

    def _flow_plain(self, start: int) -> Node:
        """Words up to a comma, a bracket, a colon or a comment."""
        if start >= len(self.text):
            self.fail("found brackets that are not closed", start)
        self.check_plain_start(start)
        if self.text[start] == ":":
            self.fail("found a value that begins with a sign of YAML", start)
        end = at = start
        while word := _WORD.match(self.text, at):
            end = word.end()
            at = self._gap(end)
            if "#" in self.text[end:at]:
                break
        if end == start:
            self.fail("expected a value", start)
        return plain(self.text, start, end)

    def _gap(self, at: int) -> int:
        """Behind spaces, line ends and comments inside of brackets."""
        while at < len(self.text):
            if self.text[at] == "#" and self.text[at - 1] in " \n":
                at = self.text.find("\n", at) % (len(self.text) + 1)
            elif self.text[at] not in " \n":
                break
            else:
                at += 1
        if at >= len(self.text):
            self.fail("found brackets that are not closed", at)
        if self.text[at] == "\t" or (self.column(at) == 0 and SEPARATOR.match(self.text, at)):
            self.fail("found a mark between documents inside of brackets", at)
        return at
