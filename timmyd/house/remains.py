"""What is left of a tool's result in the text that Hermes keeps: unwrapped, cut, damaged, summarised; no verdicts."""

import json
import re
from collections.abc import Mapping
from typing import Final

# How a text begins when the call did not run or its result was taken out, by first character: opening, rule.
_OPENINGS: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "T": (("Tool call rejected: the tool name was empty", "not_executed_blank_name"),),
    "S": (
        ("Skipped: another tool call in this turn used", "not_executed_other_call"),
        ("Skipped: other tool call in this response had", "not_executed_other_call"),
    ),
    "E": (("Error: Invalid JSON arguments.", "not_executed_bad_arguments"),),
    "[": (
        ("[Tool execution cancelled \u2014 ", "not_executed_interrupt"),
        ("[Tool execution skipped \u2014 ", "not_executed_new_message"),
        ("[Orphan recovery:", "orphan_recovery"),
        ("[Duplicate tool output", "duplicate_output"),
        ("[Old tool output cleared", "compacted"),
        ("[screenshot removed", "compacted"),
        ("[Result unavailable", "compacted"),
        ("[Result from earlier conversation", "compacted"),
    ),
}
# A whole text that is one remark in brackets about the result: what it was is not told.
_STAND_IN: Final = re.compile(
    r"\[(?:(?:Result|Output|Tool (?:result|output|call)|Content|Response|Previous|Earlier|Old|Image|Screenshot)\b"
    r"|[A-Z][a-z]+ [^\[\]\n]{0,200} \u2014 )[^\[\]\n]{0,600}\]\s*",
    re.IGNORECASE,
)
_UNKNOWN_TOOL: Final = re.compile(r"Tool '[^'\n]{0,200}' does not exist\.")
_CORRUPTED: Final = "[hermes-agent: tool call arguments were corrupted"
_UNTRUSTED: Final = "<untrusted_tool_result"
_PERSISTED: Final = "<persisted-output>"
_PERSISTED_ENDS: Final = ("\n...\n</persisted-output>", "\n</persisted-output>")
_PREVIEW: Final = re.compile(r"Preview \(first [^\n]{0,80}\):\n")
_TRUNCATED: Final = "[Truncated: tool response was "
_LONGEST_PREAMBLE: Final = 2_000

_SUMMARY: Final = re.compile(r"\[([A-Za-z_][A-Za-z0-9_]{0,63})\] [^\n]{1,600}\Z")
_SUMMARY_EXIT: Final = re.compile(r"` -> exit (-?\d{1,9}), [\d,]+ lines? output\Z")
_SEGMENTS: Final = re.compile(r"\|\||&&|[|;]")
_ASSIGNMENT: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_BENIGN_AT_1: Final = frozenset(
    {"grep", "egrep", "fgrep", "rg", "ag", "ack", "diff", "colordiff", "find", "test", "[", "git"}
)

_WINDOW: Final = 8_192
_DAMAGED_EXIT: Final = re.compile(r'(?<!\\)"exit_code":\s*(-?\d{1,9})')
_DAMAGED_MEANING: Final = re.compile(r'(?<!\\)"exit_code_meaning":\s*"([^"\n]{0,200})')
_DAMAGED_ERROR: Final = re.compile(r'(?<!\\)"error":\s*"([^"\n]{1,300})')
_DAMAGED_ERROR_TOP: Final = re.compile(r'\n  "error":\s*"([^"\n]{1,300})')
_DAMAGED_SUCCESS: Final = re.compile(r'(?<!\\)"(?:success|ok)":\s*false')
_DAMAGED_FLAG: Final = re.compile(r'(?<!\\)"(?:isError|is_error)":\s*true')
_DAMAGED_STATUS: Final = re.compile(r'(?<!\\)"status":\s*"([A-Za-z_]{1,20})"')

_SCANNER: Final = json.JSONDecoder()
_PARTS: Final = re.compile(r'\[\s*\{\s*"(?:type|text)":')
_SPACE: Final = re.compile(r"[ \t\r\n]*")
_COLON: Final = re.compile(r"[ \t\r\n]*:[ \t\r\n]*")
_COMMA: Final = re.compile(r"[ \t\r\n]*,[ \t\r\n]*")


def unwrapped(text: str) -> str:
    """Take off the wrapper of untrusted content and the line about corrupted arguments."""
    text = text.lstrip().removeprefix("\ufeff").lstrip()
    if text.startswith(_UNTRUSTED):
        start = text.find("\n\n", 0, _LONGEST_PREAMBLE)
        text = (text[start + 2 :] if start >= 0 else text.partition("\n")[2]).lstrip()
    return text


def without_corruption_note(text: str) -> str | None:
    """What follows the note that a call's arguments were corrupted; None where there is no such note."""
    return text.partition("\n")[2].lstrip() if text.startswith(_CORRUPTED) else None


def preview(text: str) -> str | None:
    """The head of a result that was moved to a file of its own; None where the text is not such a one."""
    if not text.startswith(_PERSISTED):
        return None
    found = _PREVIEW.search(text, 0, _LONGEST_PREAMBLE)
    if found is None:
        return ""
    ends = [end for mark in _PERSISTED_ENDS if (end := text.find(mark, found.end())) >= 0]
    return text[found.end() : min(ends, default=len(text))].lstrip()


def before_truncation(text: str) -> str | None:
    """The head of a result that was cut with no file to hold the rest; None where nothing says so."""
    cut = text.rfind(_TRUNCATED)
    return text[:cut] if cut >= 0 else None


def parts(text: str) -> list[object] | None:
    """The parts of a result that was stored as the JSON of a list of them; None where it is no such list."""
    if not _PARTS.match(text):
        return None
    try:
        found, _ = _SCANNER.raw_decode(text)
    except (ValueError, RecursionError):
        return None
    typed = all(isinstance(part, dict) and isinstance(part.get("type"), str) for part in found)
    return found if typed else None


def opening_rule(text: str) -> str | None:
    """The rule for a text that Hermes writes in place of a result; None where it may be a result."""
    for opening, rule in _OPENINGS.get(text[:1], ()):
        if text.startswith(opening):
            return rule
    if text[:1] == "[" and _STAND_IN.fullmatch(text):
        return "compacted"
    return "not_executed_unknown_tool" if _UNKNOWN_TOOL.match(text) else None


def leading_object(text: str) -> dict[str, object] | None:
    """The JSON object that a text begins with, whatever follows; None where it is broken."""
    try:
        fields, _ = _SCANNER.raw_decode(text)
    except (ValueError, RecursionError):
        return None
    return fields if isinstance(fields, dict) else None


def leading_fields(head: str) -> dict[str, object]:
    """The members of an object that come whole before the place where its text was cut."""
    fields: dict[str, object] = {}
    at = 1
    try:
        while (space := _SPACE.match(head, at)) is not None:
            key, at = _SCANNER.raw_decode(head, space.end())
            colon = _COLON.match(head, at)
            if colon is None or not isinstance(key, str):
                break
            value, at = _SCANNER.raw_decode(head, colon.end())
            comma = _COMMA.match(head, at)
            if comma is None:  # a number at the end may have lost digits
                break
            fields[key] = value
            at = comma.end()
    except (ValueError, RecursionError):
        pass
    return fields


def damaged_fields(text: str) -> dict[str, object]:
    """The members that decide, found in the beginning and end of an object whose JSON redaction broke."""
    if len(text) > 2 * _WINDOW:
        text = f"{text[:_WINDOW]}\n{text[-_WINDOW:]}"
    fields: dict[str, object] = {}
    if exits := _DAMAGED_EXIT.findall(text):
        fields["exit_code"] = int(exits[-1])
    if meaning := _DAMAGED_MEANING.search(text):
        fields["exit_code_meaning"] = meaning[1]
    pretty = text.startswith("{\n")  # only then does the indent tell a member from one further in
    if error := (_DAMAGED_ERROR_TOP if pretty else _DAMAGED_ERROR).search(text):
        fields["error"] = error[1]
    if _DAMAGED_SUCCESS.search(text):
        fields["success"] = False
    if _DAMAGED_FLAG.search(text):
        fields["isError"] = True
    if status := _DAMAGED_STATUS.search(text):
        fields["status"] = status[1]
    return fields


def summary_fields(tool: str, text: str) -> dict[str, object] | None:
    """The members that the one line left by compaction still tells; None where the text is no such line."""
    found = _SUMMARY.match(text)
    if found is None or found[1] != tool:
        return None
    ended = _SUMMARY_EXIT.search(text)
    if ended is None:
        return {}
    fields: dict[str, object] = {"exit_code": int(ended[1])}
    if _program_of_last(text[: ended.start()].partition("`")[2]) in _BENIGN_AT_1:
        fields["exit_code_meaning"] = "(not an error)"
    return fields


def _program_of_last(command: str) -> str:
    words = _SEGMENTS.split(command)[-1].split()
    return next((word for word in words if not _ASSIGNMENT.match(word)), "").rpartition("/")[2]
