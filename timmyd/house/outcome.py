"""What became of a tool call: its result, as stored or as a hook sees it → one of seven outcomes and the rule that said so.

Hermes stores no verdict. It stores text, and changes that text after the tool returned: suffixes, wrappers,
redaction that breaks the JSON, heads of results that were too long, summaries. So the rule reads, in this order,
the texts of calls that never ran, then the leading JSON object, then what is left of a damaged one, then plain text.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from . import remains
from .failure import error_type, exit_type
from .judgement import OUTCOMES, RATED, RULES, Judged, by

__all__ = ["OUTCOMES", "RATED", "RULES", "Judged", "judge"]

_HOOK_STATUSES: Final = {
    word: by(f"hook_{word}", word if word == "timeout" else None)
    for word in ("blocked", "cancelled", "timeout")
}
_STATUSES: Final = {
    "error": by("status_error", "status_error"),
    "failed": by("status_error", "status_failed"),
    "failure": by("status_error", "status_failed"),
    "disabled": by("status_error", "status_disabled"),
    "pending_approval": by("status_error", "status_pending_approval"),
    "timeout": by("status_timeout", "timeout"),
    "blocked": by("status_blocked"),
    "rejected": by("status_rejected"),
    "interrupted": by("status_interrupted"),
    "cancelled": by("status_interrupted"),
    "canceled": by("status_interrupted"),
}
_STATUS_IS_DATA: Final = frozenset({"process", "todo", "clarify", "send_message"})
_STATUS_IS_DATA_FAMILIES: Final = ("kanban_", "ha_")
_LONGEST_STATUS: Final = 20
_ERROR_FLAGS: Final = ("isError", "is_error")
_SUCCESS_FLAGS: Final = ("success", "ok")
_EXIT_TOOLS: Final = frozenset({"terminal", "execute_code"})
_EXIT_OF_TIMEOUT: Final = 124
_EXIT_OF_INTERRUPT: Final = 130
_EXIT_TEXT: Final = re.compile(r"-?[0-9]{1,9}")
_COMMAND_INTERRUPTED: Final = "[Command interrupted]"
_BENIGN_MEANING: Final = re.compile(
    r"not an error\)\s*$|^Some directories were inaccessible|^Non-zero exit \(often normal"
)
_EXIT_ZERO: Final = by("exit_zero")
_JSON_OK: Final = by("json_ok")
_PLAIN_TEXT: Final = by("plain_text")
_NO_RESULT: Final = by("no_result")
_VERDICT_CUT: Final = by("verdict_cut")

_WORKER: Final = re.compile(
    r"Error executing tool '[^'\n]{0,200}': (?:(timed out after )|(thread did not return)|[^\n]{0,200}tool was not started)"
)
_ERROR_TEXT: Final = re.compile(r"Error(?![a-z])")
_SCOPE: Final = re.compile(r"'[^'\n]{1,200}' is not available in this session\.")
_NO_SUCH_TOOL: Final = re.compile(r"'[^'\n]{1,200}' is not a deferrable tool\b")
# Tools whose result shows a failure in its first characters, so that a cut one that shows none was none.
_HEAD_DECIDES: Final = frozenset(
    {"read_file", "write_file", "patch", "search_files", "memory", "skills_list", "skill_view"}
    | {"skill_manage", "session_search", "cronjob", "text_to_speech", "vision_analyze"}
    | {"video_analyze", "image_generate", "x_search", "todo", "clarify", "send_message", "process"}
    | {"delegate_task", "web_search", "web_extract"}
)
_HEAD_DECIDES_FAMILIES: Final = ("mcp_", "browser_", "kanban_", "ha_")


class Marks(NamedTuple):
    """What the settings say of a tool's results (`[outcomes.TOOL]`).

    Attributes:
        exit_codes: `ignore` takes a positive exit code for data; a timeout, an interrupt and a signal
            are still what they are.
        failures: Members of a result that mean a failure, as `name=value`.
        data: Members that say nothing of the outcome, whatever they are called.
    """

    exit_codes: str = "error"
    failures: frozenset[str] = frozenset()
    data: frozenset[str] = frozenset()


PLAIN: Final = Marks()
"""Nothing is set for the tool."""


class _Case(NamedTuple):
    """What the rule knows of a call besides its content."""

    tool: str
    disposition: str | None
    status: str | None
    marks: Marks


def judge(
    tool: str,
    content: object,
    *,
    disposition: str | None = None,
    status: str | None = None,
    loads: Callable[[str], object] = json.loads,
    marks: Marks = PLAIN,
) -> Judged:
    """Say what became of a call from the text of its result.

    Args:
        tool: The name of the tool that ran; the underlying one where a bridge called it.
        content: The stored `content` of a tool message (text, or a list of parts), the result that a hook sees, or
            None where the call has no result.
        disposition: `effect_disposition` of the message; `none` means that the call was not executed.
        status: What Hermes tells its hooks. It saw more than the text, so blocked, cancelled and timeout stand.
        loads: A decoder for a whole JSON text. Anything it refuses is read again by the slower, tolerant way.
        marks: What the settings say of the tool.

    Returns:
        The judgement. Never raises: what cannot be read has outcome `unknown`, or `ok` where it is plain text.
    """
    if status in _HOOK_STATUSES:
        return _HOOK_STATUSES[status]
    verdict: Judged | None = None
    if type(content) is str and content[:1] == "{" and content[-1:] == "}":
        try:
            fields = loads(content)
            if isinstance(fields, dict):
                verdict = _of_fields(_Case(tool, disposition, status, marks), fields)
        except Exception:  # noqa: BLE001, S110 - a decoder handed in fails in its own ways; the tolerant reading follows
            pass
    if verdict is None:
        verdict = _of_content(_Case(tool, disposition, status, marks), content)
    if status is None:
        return verdict
    return _with_hook(status, verdict)


def _with_hook(status: str, verdict: Judged) -> Judged:
    """Let Hermes' own word count where the text has none: an empty result, a plain text."""
    if status == "error" and verdict.rule in {"plain_text", "no_result", "verdict_cut"}:
        return by("hook_error", "tool_error")
    if status == "ok" and verdict.rule == "no_result":
        return by("hook_ok")
    return verdict


def _of_content(case: _Case, content: object) -> Judged:
    if isinstance(content, str):
        return _of_text(case, content)
    if isinstance(content, Mapping):
        return _of_fields(case, content)
    if not isinstance(content, list):
        return _NO_RESULT
    texts, images = _parts(content)
    found = [_of_text(case, text) for text in texts]
    failed = next((verdict for verdict in found if verdict.outcome not in {"ok", "unknown"}), None)
    if failed is not None:
        return failed
    if images:
        return by("multimodal")
    return next((verdict for verdict in found if verdict.outcome == "ok"), None) or (
        found[0] if found else _NO_RESULT
    )


def _parts(content: list[object]) -> tuple[list[str], bool]:
    """The texts of a list of parts, and whether there are images among them."""
    texts: list[str] = []
    images = False
    for part in content:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, Mapping):
            images = images or str(part.get("type", "")).startswith(("image", "input_image"))
            if isinstance(text := part.get("text"), str):
                texts.append(text)
    return texts, images


def _of_text(case: _Case, text: str) -> Judged:
    """Judge a text that is not one whole JSON object: take off what surrounds the result, read what it begins with."""
    text = remains.unwrapped(text)
    if (head := remains.preview(text)) is not None:
        return _of_cut(case, head)
    if (rest := remains.without_corruption_note(text)) is not None:
        if not rest:
            return by("not_executed_bad_arguments")
        text = rest
    if text[:1] != "{":
        parts = remains.parts(text)
        return _of_opening(case, text) if parts is None else _of_content(case, parts)
    if (fields := remains.leading_object(text)) is not None:
        return _of_fields(case, fields)
    if (head := remains.before_truncation(text)) is not None:
        return _of_cut(case, head)
    if fields := remains.damaged_fields(text):
        return _of_fields(case, fields)
    return _VERDICT_CUT if case.tool == "terminal" else _PLAIN_TEXT


def _of_opening(case: _Case, text: str) -> Judged:
    """Judge a plain text by how it begins; a hook that says `ok` has seen it run, whatever the text claims."""
    if case.status != "ok":
        if (rule := remains.opening_rule(text)) is not None:
            return by(rule)
        if (fields := remains.summary_fields(case.tool, text)) is not None:
            return _of_fields(case, fields) if fields else by("compacted")
        if case.disposition == "none":
            return by("not_executed_unsaid")
    if not _ERROR_TEXT.match(text):
        return _PLAIN_TEXT
    worker = _WORKER.match(text)
    if worker is None:
        return by("error_text", error_type(text))
    if worker[1] is not None:
        return by("batch_timeout", "timeout")
    return by("worker_lost", "worker_lost") if worker[2] else by("not_executed_shutdown")


def _of_cut(case: _Case, head: str) -> Judged:
    """Judge a result of which only the first characters are left."""
    if not head:
        return _VERDICT_CUT
    if head[0] != "{":
        verdict = _of_opening(case, head)
        return by("cut_head") if verdict is _PLAIN_TEXT else verdict
    fields = remains.leading_fields(head)
    verdict = _of_fields(case, fields)
    if verdict.outcome != "ok" or "exit_code" in fields:
        return verdict
    decided = (
        fields.get("success") is True
        or fields.get("status") == "success"
        or case.tool in _HEAD_DECIDES
        or case.tool.startswith(_HEAD_DECIDES_FAMILIES)
    )
    return by("cut_head") if decided else _VERDICT_CUT


def _of_fields(case: _Case, fields: Mapping[str, object]) -> Judged:
    """Judge the members of the result object."""
    if case.marks.failures and any(
        f"{name}={_word(value)}" in case.marks.failures for name, value in fields.items()
    ):
        return by("set_failure", error_type(fields.get("error") or fields.get("message")))
    if case.marks.data:
        fields = {name: value for name, value in fields.items() if name not in case.marks.data}
    error = fields.get("error")
    if error or case.disposition == "none":
        refusal = _refusal(case, fields, error)
        if refusal is not None:
            return refusal
    by_status = _by_status(case.tool, fields.get("status"))
    if by_status is not None and by_status.outcome != "error":
        return by_status
    shown = fields.get("exit_code") if case.tool in _EXIT_TOOLS else None
    by_exit = _by_exit(case, code, fields) if (code := _exit_code(shown)) else None
    failed = by_exit or _by_error(fields, error) or by_status
    if failed is not None:
        return failed
    return _JSON_OK if shown is None else _EXIT_ZERO


def _by_error(fields: Mapping[str, object], error: object) -> Judged | None:
    """Judge an error and the flags that tools set beside one, or instead of one."""
    if error:
        return by("json_error", error_type(error, fields.get("error_type"), fields.get("status")))
    if any(_says(fields.get(flag), word="true") for flag in _ERROR_FLAGS):
        content = fields.get("content")
        texts = _parts(content)[0] if isinstance(content, list) else []
        return by("flag_error", error_type(texts[0] if texts else fields.get("message")))
    if any(_says(fields.get(flag), word="false") for flag in _SUCCESS_FLAGS):
        return by("success_false", error_type(fields.get("message")))
    return None


def _says(value: object, *, word: str) -> bool:
    """Whether a flag is `true` or `false`, as JSON or as text; 1 is true, and 0 may be a count."""
    return value is (word == "true") or (
        value.strip().lower() == word if isinstance(value, str) else value == 1 and word == "true"
    )


def _word(value: object) -> str:
    """A scalar as one would write it in the settings; empty for what is none."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, (str, int)) else ""


def _exit_code(value: object) -> int | None:
    if type(value) is float and value.is_integer():  # some decoders give wide integers so
        return int(value)
    if isinstance(value, str) and _EXIT_TEXT.fullmatch(value.strip()):
        return int(value)
    return value if type(value) is int else None


def _refusal(case: _Case, fields: Mapping[str, object], error: object) -> Judged | None:
    """Whether the error says, or the message is marked, that the tool never did its work."""
    text = error if isinstance(error, str) else ""
    if text == "Invalid tool arguments" and "not executed" in str(fields.get("message", ""))[:200]:
        return by("not_executed_bad_arguments")
    if text == "Tool execution cancelled by user interrupt":
        return by("interrupted")
    if isinstance(fields.get("guardrail"), Mapping):
        return by("guardrail_block")
    if len(fields) == 1 and _SCOPE.match(text):
        return by("scope_block")
    if _NO_SUCH_TOOL.match(text):
        return by("not_executed_unknown_tool")
    if case.disposition == "none":
        return by("plugin_block") if error else by("not_executed_unsaid")
    return None


def _by_status(tool: str, status: object) -> Judged | None:
    word = (
        status.strip().lower() if isinstance(status, str) and len(status) <= _LONGEST_STATUS else ""
    )
    verdict = _STATUSES.get(word)
    if verdict is None or tool in _STATUS_IS_DATA or tool.startswith(_STATUS_IS_DATA_FAMILIES):
        return None
    return verdict


def _by_exit(case: _Case, code: int, fields: Mapping[str, object]) -> Judged | None:
    """Judge a nonzero exit code; None leaves it to the error that stands beside it."""
    if code == _EXIT_OF_TIMEOUT:
        return by("exit_timeout", "timeout")
    output = fields.get("output")
    interrupted = isinstance(output, str) and output[-64:].rstrip().endswith(_COMMAND_INTERRUPTED)
    if code == _EXIT_OF_INTERRUPT or interrupted:
        return by("exit_interrupted")
    error = fields.get("error")
    if code < 0:
        return None if error else by("exit_signal", exit_type(code))
    meaning = fields.get("exit_code_meaning")
    if (
        code == 1
        and not error
        and isinstance(meaning, str)
        and _BENIGN_MEANING.search(meaning[:400])
    ):
        return by("benign_exit")
    if case.marks.exit_codes == "ignore" and (not error or case.tool == "execute_code"):
        return by("exit_ignored")
    return by("exit_nonzero", exit_type(code))
