"""What is stored of a call instead of what it said: signature, shape, outcome, and names made safe."""

import re
from functools import _lru_cache_wrapper, lru_cache
from hashlib import sha256
from typing import Any

import msgspec

from timmyd.core.counting.identity import hash_text
from timmyd.core.model import Call, Facts
from timmyd.core.tasks import TaskTable
from timmyd.house.outcome import PLAIN, Judged, Marks, judge
from timmyd.house.shape import MALFORMED, describe, shape as shape_of, signature as signature_of
from timmyd.sources.messages import as_json, is_bushy

UNNAMED = "unnamed"
"""Stands for a tool or a model whose name is not made like one."""

_MEMO = 8_192
_LONGEST_REMEMBERED = 512
_TOOL_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,63}")
_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}")
_flat = msgspec.json.Decoder(dict[str, str | int | bool | None])
_canonical = msgspec.json.Encoder(order="sorted").encode


class Describer:
    """Says what is stored of calls, and remembers it: agents repeat themselves."""

    def __init__(self, tasks: TaskTable) -> None:
        """Use the table that says which calls are read, build, test or judge."""
        self.tasks = tasks
        self._remembered: _lru_cache_wrapper[Facts] = lru_cache(maxsize=_MEMO)(self._work_out)

    def __call__(self, call: Call) -> Facts:
        """What is stored of the tool and the arguments of `call`, which keeps it."""
        facts = call.facts
        if facts is None:
            arguments = call.arguments
            if not isinstance(arguments, str):
                arguments = as_json(arguments)
            long = len(arguments) > _LONGEST_REMEMBERED
            facts = (self._work_out if long else self._remembered)(call.tool, arguments)
            call.facts = facts
        return facts

    def forget(self) -> None:
        """Let go of what is remembered: when there is nothing to do, it is only memory."""
        self._remembered.cache_clear()

    def key(self, call: Call) -> int:
        """The hash of its tool and its arguments."""
        return (call.facts or self(call)).key

    def _work_out(self, tool: str, arguments: str) -> Facts:
        signature, shape = describe_fast(tool, arguments)
        task_type = self.tasks.task_type(tool, shape)
        return Facts(clean_tool(tool), signature, shape, task_type, facts_key(tool, signature))


def describe_fast(tool: str, arguments: str) -> tuple[str, str]:
    """Signature and shape of a call; the same as `house.shape.describe`, by a faster decoder where it can.

    Flat objects of texts, whole numbers and truth values have one canonical form, whoever writes it;
    what else there is (fractions, nesting, broken text) takes the house kit's own way. What would
    fill the memory counts as no JSON.
    """
    if is_bushy(arguments):
        return signature_of(arguments.encode("utf-8", "surrogatepass")), MALFORMED
    try:
        value = _flat.decode(arguments)
        return sha256(_canonical(value)).hexdigest()[:16], shape_of(tool, value)
    except (msgspec.MsgspecError, UnicodeError, OverflowError, RecursionError):
        pass
    return describe(tool, arguments)


def facts_key(tool: str, signature: str) -> int:
    """The hash of tool and arguments by which sources meet."""
    return (int(signature, 16) ^ hash_text(tool)) & ((1 << 63) - 1)


def clean_tool(name: str) -> str:
    """A tool's name as it may be stored, published and put in a prompt.

    It comes from a session, so whoever talks to the agent may have written it. A name that is not
    made like one could be a sentence for a model to obey or a line for a log to swallow.
    """
    return name if _TOOL_NAME.fullmatch(name) else UNNAMED


def clean_model(name: str) -> str:
    """The same for a model's name."""
    return name if _MODEL_NAME.fullmatch(name) else UNNAMED


class _Verdict(msgspec.Struct, gc=False):
    error: Any = None
    status: Any = None
    exit_code: Any = None
    success: Any = None
    guardrail: Any = None
    ok: Any = None
    is_error: Any = None
    isError: Any = None  # noqa: N815 - as tools write it

    def went_well(self) -> bool:
        """Whether nothing says otherwise, so that the rest need not be looked at."""
        return not (
            self.error
            or self.exit_code
            or self.is_error
            or self.isError
            or self.guardrail is not None
            or self.success not in _FINE
            or self.ok not in _FINE
        )


_FINE = (None, True)
_verdicts = msgspec.json.Decoder(_Verdict)


def loads_result(text: str) -> Any:
    """Decode a tool's result as far as a judgement of it looks: most say early that all went well."""
    head = _verdicts.decode(text)
    if not head.went_well():
        return msgspec.json.decode(text)
    return {"status": head.status, "exit_code": head.exit_code, "success": head.success}


@lru_cache(maxsize=1024)
def _went_well(tool: str, with_code: bool) -> Judged:  # noqa: FBT001 - a place is cheaper than a name
    """The judgement of a result in which nothing says otherwise."""
    return judge(tool, '{"exit_code": 0}' if with_code else "{}")


def judge_result(
    tool: str, content: Any, *, disposition: str | None = None, marks: Marks = PLAIN
) -> Judged:
    """The same as `house.outcome.judge`, with a short way for the many results that went well."""
    if marks.failures or marks.data:
        return judge(tool, content, disposition=disposition, marks=marks)
    if type(content) is str and disposition is None and content[:1] == "{" and content[-1:] == "}":
        try:
            head = _verdicts.decode(content)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            head = None
        if head is not None and head.status is None and head.went_well():
            return _went_well(tool, head.exit_code is not None)
    return judge(tool, content, disposition=disposition, loads=loads_result, marks=marks)
