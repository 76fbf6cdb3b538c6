"""Runs inside a Hermes environment: the real interactive CLI, read from a pipe, not a terminal.

Standard input brings one JSON string a line: what a person would type, commands such as /undo
included. For each, once it is done, one JSON object goes to the file descriptor in TIMMY_REPLY_FD.
Everything else of the CLI (start-up, plugins, the agent, saving, the clean-up) is Hermes' own.
"""

import importlib
import json
import os
import queue
import sys
from typing import Any


def converse(self: Any) -> None:
    """Stands in for `HermesCLI.run`, whose prompt needs a terminal."""
    if not self._claim_active_session("cli"):
        return
    with os.fdopen(os.dup(0), encoding="utf-8") as lines:
        # What the agent starts must not read the test's messages.
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for line in lines:
            _do(self, json.loads(line))
            session_id = getattr(self.agent, "session_id", None) or self.session_id
            reply = json.dumps({"session_id": session_id}) + "\n"
            os.write(int(os.environ["TIMMY_REPLY_FD"]), reply.encode())
    self._release_active_session()


def _do(cli: Any, text: str) -> None:
    if text.startswith("/"):
        cli.process_command(text)
    else:
        cli.chat(text)
    # A command such as /retry leaves the message to send in the prompt's own queue.
    pending = vars(cli)["_pending_input"]
    while True:
        try:
            message = pending.get_nowait()
        except queue.Empty:
            return
        cli.chat(message)


if __name__ == "__main__":
    # HERMES_YOLO_MODE comes from the environment: the tools read it when the CLI is imported.
    importlib.import_module("cli").HermesCLI.run = converse
    sys.argv = ["hermes", "chat", "--cli", "--yolo", *sys.argv[1:]]
    sys.exit(importlib.import_module("hermes_cli.main").main())
