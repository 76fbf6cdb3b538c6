"""A model on loopback: an OpenAI-compatible chat server that plays scripts and remembers."""

import itertools
import json
import re
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self

from tests.hermes.support.script import Calls, Fail, Hold, ModelRequest, Say, Step, text_of

MODEL: Final = "hermes3:8b"
AUXILIARY_TEXT: Final = "a title"
DEFAULT_SCRIPT: Final = "main"
HOLD_TIMEOUT_S: Final = 120

_MARK: Final = re.compile(r"\[\[S:([\w.-]+)\]\]")
_USAGE: Final = {"prompt_tokens": 1000, "completion_tokens": 20, "total_tokens": 1020}


class ModelServer:
    """Plays scripts to the agents that ask it, one step a request.

    A user message names its script by a mark such as `[[S:main]]`; `turn` makes such a message. Each
    script goes on where it was, across processes of an agent; past its end the model says "done".
    A request that offers no tools is Hermes' own (a title, a summary) and takes no step.

    Use as a context manager, or call `close`.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._scripts: dict[str, list[Step]] = {}
        self._positions: dict[str, int] = {}
        self._requests: list[ModelRequest] = []
        self._numbers = itertools.count(1)
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self._http.daemon_threads = True
        self._thread = threading.Thread(
            target=self._http.serve_forever, args=(0.02,), name="model-server", daemon=True
        )
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def base_url(self) -> str:
        """What an agent's settings name as the provider's address."""
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    @property
    def requests(self) -> list[ModelRequest]:
        """All chat requests so far, oldest first, without the auxiliary ones."""
        with self._lock:
            return [request for request in self._requests if request.script is not None]

    @property
    def auxiliary_requests(self) -> list[ModelRequest]:
        """The requests that Hermes made for itself."""
        with self._lock:
            return [request for request in self._requests if request.script is None]

    def requests_of(self, text: str) -> list[ModelRequest]:
        """The requests that the script named in this user message answered."""
        name = _script_named_in(text)
        return [request for request in self.requests if request.script == name]

    def script(self, name: str, *steps: Step) -> None:
        """Set what the model says to messages marked `[[S:name]]`, from the first step."""
        with self._lock:
            self._scripts[name] = list(steps)
            self._positions[name] = 0

    def is_over(self, name: str) -> bool:
        """Whether every step of a script was taken."""
        with self._lock:
            return self._positions.get(name, 0) >= len(self._scripts[name])

    def turn(self, *steps: Step, text: str = "do the work") -> str:
        """Make a script of these steps and return a user message that plays it."""
        name = f"turn-{next(self._numbers)}"
        self.script(name, *steps)
        return f"{text} [[S:{name}]]"

    def close(self) -> None:
        """Stop answering."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(timeout=5)

    def answer(self, path: str, body: Mapping[str, Any]) -> Calls | Say | Fail:
        """Take the next step for this request and remember the request; waits on a `Hold`."""
        now = time.time()
        with self._lock:
            name: str | None = None
            position: int | None = None
            step: Step = Say(AUXILIARY_TEXT)
            if body.get("tools"):
                name = _script_of(body)
                steps = self._scripts.get(name, [])
                position = self._positions.get(name, 0)
                self._positions[name] = position + 1
                step = steps[position] if position < len(steps) else Say("done")
            request = ModelRequest(now, path, body, name, position)
            self._requests.append(request)
        while not isinstance(step, Calls | Say | Fail):
            if isinstance(step, Hold):
                step.until.wait(HOLD_TIMEOUT_S)
                step = step.then
            else:
                step = step(request)
        return step

    def new_id(self) -> str:
        """An id that no call of this server had before."""
        return f"call_{next(self._numbers):024d}"


def _script_named_in(text: str) -> str | None:
    marks = _MARK.findall(text)
    return marks[-1] if marks else None


def _script_of(body: Mapping[str, Any]) -> str:
    for message in reversed(body.get("messages") or []):
        if message.get("role") == "user":
            name = _script_named_in(text_of(message))
            if name is not None:
                return name
    return DEFAULT_SCRIPT


def _tool_calls(server: ModelServer, step: Calls) -> list[dict[str, Any]]:
    asked = []
    for index, wanted in enumerate(step.calls):
        arguments = wanted.arguments
        text = arguments if isinstance(arguments, str) else json.dumps(dict(arguments))
        asked.append(
            {
                "index": index,
                "id": server.new_id() if wanted.id is None else wanted.id,
                "type": "function",
                "function": {"name": wanted.name, "arguments": text},
            }
        )
    return asked


def _message(server: ModelServer, step: Calls | Say) -> tuple[dict[str, Any], str]:
    """The assistant message and its finish reason."""
    if isinstance(step, Say):
        return {"role": "assistant", "content": step.text}, "stop"
    asked = _tool_calls(server, step)
    return {"role": "assistant", "content": step.text, "tool_calls": asked}, "tool_calls"


def _chunks(
    head: Mapping[str, Any], message: Mapping[str, Any], reason: str
) -> Iterator[dict[str, Any]]:
    yield {**head, "choices": [{"index": 0, "delta": message, "finish_reason": None}]}
    yield {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}
    yield {**head, "choices": [], "usage": _USAGE}


def _say_nothing(
    _handler: BaseHTTPRequestHandler,
    format: str,  # noqa: A002 - the base class calls it so
    *args: object,
) -> None:
    """In place of a log of requests: they are kept for the test."""


def _handler_of(server: ModelServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        log_message = _say_nothing

        def do_GET(self) -> None:
            if self.path.rstrip("/") == "/v1/models":
                self._send(200, {"object": "list", "data": [{"id": MODEL, "object": "model"}]})
            else:
                self._send(404, {"error": {"message": "no such path"}})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0"))))
            if not self.path.endswith("/chat/completions"):
                self._send(404, {"error": {"message": "no such path"}})
                return
            step = server.answer(self.path, body)
            if isinstance(step, Fail):
                self._send(step.status, {"error": {"message": step.message, "type": "server"}})
                return
            message, reason = _message(server, step)
            head = {"id": server.new_id(), "created": int(time.time()), "model": body.get("model")}
            if body.get("stream"):
                chunk_head = {**head, "object": "chat.completion.chunk"}
                self._stream(_chunks(chunk_head, message, reason))
            else:
                choice = {"index": 0, "message": message, "finish_reason": reason}
                whole = {**head, "object": "chat.completion", "choices": [choice], "usage": _USAGE}
                self._send(200, whole)

        def _send(self, status: int, document: Mapping[str, Any]) -> None:
            data = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self._finish(data)

        def _stream(self, chunks: Iterator[Mapping[str, Any]]) -> None:
            lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self._finish("".join([*lines, "data: [DONE]\n\n"]).encode())

        def _finish(self, data: bytes) -> None:
            self.send_header("Content-Length", str(len(data)))
            # A test may kill the agent while it waits for this answer.
            try:
                self.end_headers()
                self.wfile.write(data)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

    return Handler
