"""Runs inside a Hermes environment: its own dispatcher and plugin manager, without an agent, in many threads.

Arguments: a JSON file with `{"sessions": […], "reads": n, "inner": n, "work": folder}`, and where to write how many
calls were answered without an error, and what `/timmy` says in the end.
"""

import contextvars
import importlib
import json
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

_SCRIPT = """
from concurrent.futures import ThreadPoolExecutor
from hermes_tools import read_file
with ThreadPoolExecutor(8) as pool:
    print(sum("error" not in one for one in pool.map(lambda n: read_file(f"{work}/f{{n}}.txt"), range({inner}))), "read")
"""


def main(wanted: Path, answers: Path) -> None:
    """Make the calls of all sessions at the same time, as a gateway does."""
    spec = json.loads(wanted.read_text())
    plugins = importlib.import_module("hermes_cli.plugins")
    plugins.discover_plugins()
    call = importlib.import_module("model_tools").handle_function_call
    provenance = importlib.import_module("tools.skill_provenance")
    answered: dict[str, Any] = {}

    def session(name: str) -> None:
        ids = {"task_id": name, "session_id": name}

        def read(number: int) -> bool:
            path = {"path": f"{spec['work']}/f{number}.txt"}
            return '"error"' not in call("read_file", path, tool_call_id=f"{name}-r{number}", **ids)

        with ThreadPoolExecutor(8) as pool:
            jobs = [
                pool.submit(contextvars.copy_context().run, read, number)
                for number in range(spec["reads"])
            ]
            reads = [job.result() for job in jobs]
        code = _SCRIPT.format(work=spec["work"], inner=spec["inner"])
        script = call(
            "execute_code", {"code": code}, tool_call_id=f"{name}-s",
            enabled_tools=["read_file", "execute_code"], **ids,
        )  # fmt: skip
        token = provenance.set_current_write_origin("background_review")
        review = {"path": f"{spec['work']}/review.txt"}
        reviewed = '"error"' not in call("read_file", review, tool_call_id=f"{name}-m", **ids)
        provenance.reset_current_write_origin(token)
        answered[name] = [sum(reads), f"{spec['inner']} read" in script, reviewed]

    threads = [threading.Thread(target=session, args=(name,)) for name in spec["sessions"]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(200)
    slash = plugins.get_plugin_command_handler("timmy")
    answers.write_text(json.dumps({"answered": answered, "slash": slash("") if slash else ""}))
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
