"""What a command line is about: its program and subcommand, from fixed vocabularies, never a word of its own."""

import re
from collections.abc import Iterator
from typing import Final

from .programs import (
    INTERPRETERS,
    KEYWORDS,
    PREAMBLES,
    PROGRAMS,
    RUN_WORDS,
    RUNNERS,
    SCRIPT_RUNNERS,
    SUBCOMMANDS,
    SUFFIXES,
    WRAPPERS,
)

OTHER: Final = "other"

_LONGEST_COMMAND: Final = 1_000
_LONGEST_PROGRAM: Final = 32
_MOST_WORDS: Final = 16
_DEPTH: Final = 2  # `git push`
_DEPTH_OF_RUN: Final = 3  # `npm run build`
_VERSION: Final = re.compile(r"[\d.]+\Z")
_DURATION: Final = re.compile(r"\d+(?:\.\d+)?[smhd]?\Z")
_ASSIGNMENT: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\+?=")
_GRAMMAR: Final = re.compile(r"""[;|&()<>'"\\`$#\n]""")
_BETWEEN_WORDS: Final = frozenset({"space", "comment"})
_TOKEN: Final = re.compile(
    r"""(?P<comment>(?<!\S)\#[^\n]*)
      | (?P<redirect>\d*(?:>>?|<<?<?)[&|]?|&>>?)
      | (?P<end>\|\|?|&&?|[;\n()])
      | (?P<space>[^\S\n]+)
      | (?P<quoted>'[^']*'|"(?:[^"\\]|\\.)*")
      | (?P<plain>[^\s;|&()<>'"\\`$]+)
      | (?P<opaque>\\.|[$`])""",
    re.VERBOSE | re.DOTALL,
)
_SUFFIX: Final = re.compile(r"\.[A-Za-z0-9]{1,10}\Z")
_LONGEST_SUFFIX: Final = 11


def suffix_of(path: str) -> str:
    """The suffix of a path in lower case, such as `.py`; empty where it has no known one."""
    found = _SUFFIX.search(path[-_LONGEST_SUFFIX:])
    suffix = found[0].lower() if found else ""
    return suffix if suffix in SUFFIXES else ""


def command_shape(command: str) -> str:
    """The program and subcommand that a command line is about: the first one that is not mere preparation."""
    prepared = ""
    for words in _commands(command[:_LONGEST_COMMAND]):
        found = _program_shape(words)
        if not found:
            continue
        if found.partition(" ")[0] not in PREAMBLES:
            return found
        prepared = prepared or found
    return prepared or OTHER


def _commands(line: str) -> Iterator[list[str]]:
    """Cut a line into simple commands, each its first words; the later ones of a pipe are left out.

    A word with quotes, expansions or escapes in it is given as an empty text: it is there, but says nothing.
    """
    if _GRAMMAR.search(line) is None:  # most lines: the same words, sooner
        yield line.split()[:_MOST_WORDS]
        return
    words: list[str] = []
    at, piped, glued, target = 0, False, False, False
    while at < len(line) and (found := _TOKEN.match(line, at)) is not None:
        at, kind = found.end(), found.lastgroup
        if kind == "end":
            if words and not piped:
                yield words[:_MOST_WORDS]
            words, glued, target = [], False, False
            piped = found[0] == "|"
        elif kind == "redirect":
            glued, target = False, True
        elif kind in _BETWEEN_WORDS:
            target = target and not glued
            glued = False
        else:
            if not target:
                _add(words, found["plain"] or "", glued=glued)
            glued = True
    if words and not piped:
        yield words[:_MOST_WORDS]


def _add(words: list[str], text: str, *, glued: bool) -> None:
    """Put a part of a word down; a word of several parts says nothing, unless it is an assignment."""
    if not glued:
        words.append(text)
    elif not _ASSIGNMENT.match(words[-1]):
        words[-1] = ""


def _program_shape(words: list[str]) -> str:
    """Program and subcommand of one simple command; empty where it has none, `other` where they are not known."""
    rest = _unwrapped(words)
    if not rest:
        alone = _first(words)
        return alone if alone in PROGRAMS else ""
    if rest[0] in KEYWORDS:
        return ""
    program, rest = _program(rest[0]), rest[1:]
    if (
        program in RUNNERS
        and rest[:1]
        and rest[0] in RUN_WORDS
        and _program(_first(rest[1:])) in PROGRAMS
    ):
        return _program_shape(rest[1:])
    if program == "python" and rest[:1] == ["-m"]:
        return _program_shape(rest[1:]) if _program(_first(rest[1:])) in PROGRAMS else "python -m"
    if program in INTERPRETERS:
        return _interpreted(program, rest)
    known = SUBCOMMANDS.get(program)
    if known:
        shown = [program, *(word for word in rest if word in known)]
        depth = _DEPTH_OF_RUN if shown[1:2] == ["run"] and program in SCRIPT_RUNNERS else _DEPTH
        return " ".join(shown[:depth])
    return program


def _unwrapped(words: list[str]) -> list[str]:
    """Take off the assignments and the wrappers, `sudo -u x env A=b timeout 5 …`, before a program."""
    at = 0
    options: frozenset[str] | None = None
    while at < len(words):
        word = words[at]
        if _ASSIGNMENT.match(word):
            at += 1
        elif options is not None and word.startswith("-"):
            at += 2 if word in options else 1
        elif options is not None and _DURATION.match(word):
            at += 1
        elif (name := word.rpartition("/")[2]) in WRAPPERS:
            options = WRAPPERS[name]
            at += 1
        else:
            break
    return words[at:]


def _program(word: str) -> str:
    """The known program that a word names, without its folder and version; `other` where it is none."""
    name = "test" if word == "[" else word.rpartition("/")[2]
    if name in PROGRAMS or name in PREAMBLES:
        return name
    bare = _VERSION.sub("", name).rstrip("-") if len(name) <= _LONGEST_PROGRAM else ""
    return bare if bare in PROGRAMS else suffix_of(name) or OTHER


def _interpreted(program: str, rest: list[str]) -> str:
    """How an interpreter was asked to run: `python -c`, `python .py`, `bash`."""
    for word in rest:
        if word in {"-c", "-e", "-lc", "-ic"}:
            return f"{program} -c" if "c" in word else f"{program} -e"
        if word and not word.startswith("-"):
            return f"{program} {suffix_of(word)}".rstrip()
    return program


def _first(words: list[str]) -> str:
    return words[0] if words else ""
