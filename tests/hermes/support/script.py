"""What the scripted model says: steps, each answering one request of the agent."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One tool call that the model asks for.

    Attributes:
        name: the tool's name, which need not exist.
        arguments: an object, or a string that is sent as it stands (also when it is not JSON).
        id: the call's id; `None` for one that was never used before, "" for none at all.
    """

    name: str
    arguments: Mapping[str, object] | str
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Calls:
    """Ask for these tool calls in one message; more than one makes a parallel batch."""

    calls: tuple[ToolCall, ...]
    text: str = ""


@dataclass(frozen=True, slots=True)
class Say:
    """Answer with this text, which ends the turn."""

    text: str


@dataclass(frozen=True, slots=True)
class Fail:
    """Answer with an HTTP error; Hermes may ask again, which takes the next step."""

    status: int
    message: str = "the model is out of order"


@dataclass(frozen=True, slots=True)
class Hold:
    """Answer with `then`, but only once the event is set."""

    until: threading.Event
    then: "Step"


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One request that the agent sent to the model, as it came.

    Attributes:
        at: when it came, Unix seconds.
        path: the path of the URL.
        body: the JSON body.
        script: the script that answered it, `None` for an auxiliary request (a title, a summary).
        step: which step of the script, from 0.
    """

    at: float
    path: str
    body: Mapping[str, Any]
    script: str | None
    step: int | None

    @property
    def messages(self) -> list[dict[str, Any]]:
        """All messages, as the model was told them."""
        return list(self.body.get("messages") or [])

    @property
    def tool_results(self) -> list[str]:
        """The contents of the tool messages since the last user message, in order."""
        results: list[str] = []
        for message in self.messages:
            if message.get("role") == "user":
                results = []
            elif message.get("role") == "tool":
                results.append(text_of(message))
        return results

    @property
    def user_text(self) -> str:
        """The last user message, with whatever a plugin appended to it."""
        texts = [text_of(m) for m in self.messages if m.get("role") == "user"]
        return texts[-1] if texts else ""

    @property
    def system_text(self) -> str:
        """The system prompt."""
        return "\n".join(text_of(m) for m in self.messages if m.get("role") == "system")

    @property
    def model(self) -> str:
        """The model that the agent asked for."""
        return str(self.body.get("model"))

    @property
    def tool_names(self) -> list[str]:
        """The tools that the agent offered."""
        return [tool["function"]["name"] for tool in self.body.get("tools") or []]


Step = Calls | Say | Fail | Hold | Callable[[ModelRequest], "Step"]


def call(name: str, /, **arguments: object) -> Calls:
    """One tool call: `call("terminal", command="echo ok")`."""
    return Calls((ToolCall(name, arguments),))


def calls(*wanted: ToolCall) -> Calls:
    """Several tool calls in one message."""
    return Calls(wanted)


def say(text: str = "done") -> Say:
    """The final answer."""
    return Say(text)


def terminal(*commands: str) -> list[Step]:
    """Each command as a step of its own, then the final answer."""
    steps: Sequence[Step] = [call("terminal", command=command) for command in commands]
    return [*steps, say()]


def text_of(message: Mapping[str, Any]) -> str:
    """The text of a message, whose content may be a string or a list of parts."""
    content = message.get("content")
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return "" if content is None else str(content)
