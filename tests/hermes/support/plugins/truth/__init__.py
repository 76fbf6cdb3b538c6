"""A Hermes plugin for tests: appends what the observing hooks were given to truth.jsonl."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HOOKS = ("post_tool_call", "post_api_request", "api_request_error", "on_session_end")


def register(ctx: Any) -> None:
    """Called by Hermes when it loads the plugin."""
    path = Path(os.environ["HERMES_HOME"]) / "truth.jsonl"
    for hook in HOOKS:
        ctx.register_hook(hook, _writer(path, hook))


def _writer(path: Path, hook: str) -> Callable[..., None]:
    def write(**kwargs: Any) -> None:
        record = {"hook": hook, "at": time.time(), **kwargs}
        line = json.dumps(record, default=str) + "\n"
        # One write to a file opened for appending: parallel tools come from several threads.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, line.encode("utf-8", "backslashreplace"))
        finally:
            os.close(descriptor)

    return write
