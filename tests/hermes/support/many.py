"""Runs inside a Hermes environment: several agents in one process, each on a thread, as in a gateway.

Arguments: a file with `{"sessions": {id: message}, "toolsets": […], "platform": …}`, and where to write what each
session answered, and what `/timmy` says in the end.
"""

import importlib
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

_PATIENCE_S = 120.0


def main(wanted: Path, answers: Path) -> None:
    """Run the sessions at the same time, wait for what they left in the background, and end."""
    spec = json.loads(wanted.read_text())
    importlib.import_module("hermes_cli.plugins").discover_plugins()
    database = importlib.import_module("hermes_state").SessionDB()
    agent_class = importlib.import_module("run_agent").AIAgent
    said: dict[str, Any] = {}

    def session(name: str, message: str) -> None:
        agent = agent_class(
            model=os.environ["TIMMY_MODEL"], base_url=os.environ["TIMMY_MODEL_URL"], api_key="none",
            provider="custom", quiet_mode=True, session_id=name, platform=spec["platform"],
            session_db=database, max_iterations=100, enabled_toolsets=spec["toolsets"],
        )  # fmt: skip
        try:
            told = agent.run_conversation(message, conversation_history=[], task_id=name)
            said[name] = str(told.get("final_response"))
        except BaseException as error:  # noqa: BLE001 - the test shows it
            said[name] = f"raised {type(error).__name__}: {error}"

    threads = [threading.Thread(target=session, args=item) for item in spec["sessions"].items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(_PATIENCE_S)
    deadline = time.monotonic() + _PATIENCE_S
    done = Path(os.environ["TIMMY_ALL_DONE"])
    while not done.exists() and time.monotonic() < deadline:  # reviews and children
        time.sleep(0.05)
    time.sleep(0.5)
    asked = importlib.import_module("hermes_cli.plugins").get_plugin_command_handler("timmy")
    if asked is not None:
        said["/timmy"] = asked("")
    answers.write_text(json.dumps(said))
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
