"""PURE: an answer of ours in the place of a model's, in the shape that each of Hermes' api modes takes.

Returned by an `llm_execution` middleware it ends a turn cleanly: no request is sent, the text is the final
answer, and Hermes' hooks run as usual. Only modes whose shape was tried against Hermes' own validation and
normalization are known here; in any other the request passes.
"""

from types import SimpleNamespace
from typing import Final

MODES: Final = ("chat_completions", "anthropic_messages", "codex_responses")
_ID: Final = "timmy"


def answer(api_mode: str, text: str, *, model: str = "") -> object | None:
    """A model's final answer that says `text`; None where the mode's shape is not known.

    Args:
        api_mode: As Hermes names it to its middleware.
        text: What the user is to read.
        model: The model that was asked, for the record of the agent.
    """
    make = {
        "chat_completions": _chat,
        "anthropic_messages": _anthropic,
        "codex_responses": _codex,
    }.get(api_mode)
    return None if make is None else make(text, model)


def _chat(text: str, model: str) -> object:
    message = SimpleNamespace(
        role="assistant", content=text, tool_calls=None, refusal=None, reasoning=None
    )
    choice = SimpleNamespace(index=0, message=message, finish_reason="stop")
    return SimpleNamespace(
        id=_ID, object="chat.completion", model=model, choices=[choice], usage=None
    )


def _anthropic(text: str, model: str) -> object:
    block = SimpleNamespace(type="text", text=text)
    return SimpleNamespace(
        id=_ID,
        type="message",
        role="assistant",
        model=model,
        content=[block],
        stop_reason="end_turn",
        stop_sequence=None,
        usage=None,
    )


def _codex(text: str, model: str) -> object:
    part = SimpleNamespace(type="output_text", text=text, annotations=[])
    item = SimpleNamespace(
        type="message",
        id=_ID,
        role="assistant",
        status="completed",
        phase="final_answer",
        content=[part],
    )
    return SimpleNamespace(
        id=_ID,
        object="response",
        model=model,
        status="completed",
        output=[item],
        output_text=text,
        incomplete_details=None,
        error=None,
        usage=None,
    )
