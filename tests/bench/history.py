"""Makes a history of snapshots as Hermes writes them: its layout, its sizes, its share of repeats."""

import json
import random
import sysconfig
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

MB = 1_000_000
_TOOLS_BYTES = 48_000
_PROMPT_BYTES = 12_000
_MEAN_RESULT = 8.0
_SPREAD_RESULT = 1.1
_REPEATED_SHARE = 0.69


class History:
    """Sessions of the last weeks, else always the same, with tool results cut from real source text."""

    def __init__(self, seed: int = 1) -> None:
        self._random = random.Random(seed)
        root = Path(sysconfig.get_paths()["stdlib"])
        files = sorted(root.glob("*.py"))
        self._text = "\n".join(path.read_text(encoding="utf-8") for path in files)
        schema = {"type": "function", "function": {"name": "x", "description": self._text[:400]}}
        self._tools = [schema] * (_TOOLS_BYTES // len(json.dumps(schema)))
        self._prompt = self._text[:_PROMPT_BYTES]
        self._commands = [f"grep -n {self._word()} src/{self._word()}.py" for _ in range(400)]
        self._number = 0
        self._began = datetime.now().replace(hour=10, minute=0, second=0) - timedelta(days=40)

    def _word(self) -> str:
        return "".join(self._random.choices("abcdefghijklmnop", k=7))

    def _result_text(self) -> str:
        size = min(60_000, int(self._random.lognormvariate(_MEAN_RESULT, _SPREAD_RESULT)))
        start = self._random.randrange(len(self._text) - size)
        return self._text[start : start + size]

    def _call(self, number: int) -> tuple[str, dict[str, str], str]:
        rng = self._random
        kind = rng.random()
        if kind < 0.5:
            repeat = rng.random() < _REPEATED_SHARE
            command = (
                rng.choice(self._commands) if repeat else f"make target-{number} {self._word()}"
            )
            code = 0 if rng.random() < 0.85 else 1 + rng.randrange(2)
            result = {"output": self._result_text(), "exit_code": code, "error": None}
            return "terminal", {"command": command}, json.dumps(result)
        if kind < 0.85:
            path = f"src/{self._commands[rng.randrange(120)][8:15]}.py"
            if rng.random() < 0.05:
                return "read_file", {"path": path}, json.dumps({"error": f"File not found: {path}"})
            body = {"content": self._result_text(), "total_lines": 80, "truncated": False}
            return "read_file", {"path": path}, json.dumps(body)
        body = {"bytes_written": 900, "dirs_created": True, "lint": {"status": "ok"}}
        return (
            "write_file",
            {"path": f"src/{self._word()}.py", "content": self._result_text()},
            json.dumps(body),
        )

    def turn(self, calls: int) -> list[dict[str, object]]:
        """The messages of one turn."""
        messages: list[dict[str, object]] = [
            {"role": "user", "content": "Please go on with the work.", "_db_persisted": True}
        ]
        for _ in range(calls):
            self._number += 1
            call_id = f"call_{self._random.getrandbits(120):030x}"
            name, arguments, content = self._call(self._number)
            request = {
                "id": call_id, "call_id": call_id, "response_item_id": f"fc_{call_id[5:]}", "type": "function",
                "function": {"name": name, "arguments": json.dumps(arguments)},
            }  # fmt: skip
            messages.append(
                {"role": "assistant", "content": "", "reasoning": None, "finish_reason": "tool_calls",
                 "tool_calls": [request], "_db_persisted": True}
            )  # fmt: skip
            messages.append(
                {"role": "tool", "name": name, "tool_name": name, "content": content,
                 "tool_call_id": call_id, "_db_persisted": True}
            )  # fmt: skip
        messages.append(
            {
                "role": "assistant",
                "content": "Done.",
                "finish_reason": "stop",
                "_db_persisted": True,
            }
        )
        return messages

    def snapshot(self, session_id: str, messages: list[dict[str, object]], *, at: int = 0) -> bytes:
        """A snapshot file as Hermes 0.19 lays it out."""
        began = self._began + timedelta(days=at // 1440 % 28, minutes=at % 60)
        ended = began + timedelta(hours=1, seconds=30)
        body = {
            "session_id": session_id, "model": self._random.choice(["hermes3:8b", "qwen3:14b"]),
            "base_url": "http://127.0.0.1:11434/v1", "platform": "cli",
            "session_start": f"{began:%Y-%m-%dT%H:%M:00}.{self._random.randrange(10**6):06}",
            "last_updated": f"{ended:%Y-%m-%dT%H:%M:%S}.000001",
            "system_prompt": self._prompt, "tools": self._tools,
            "message_count": len(messages), "messages": messages,
        }  # fmt: skip
        return json.dumps(body, indent=2, ensure_ascii=False).encode()

    def write(self, folder: Path, size_bytes: int) -> int:
        """Fill a folder with sessions of log-normal length; returns how many calls they hold."""
        folder.mkdir(parents=True, exist_ok=True)
        calls = 0
        for number, data, n in self.sessions():
            (folder / f"session_20261001_{number:06}_{number:06x}.json").write_bytes(data)
            calls += n
            size_bytes -= len(data)
            if size_bytes <= 0:
                break
        return calls

    def sessions(self) -> Iterator[tuple[int, bytes, int]]:
        """(number, bytes, calls) of session after session."""
        number = 0
        while True:
            number += 1
            messages: list[dict[str, object]] = []
            total = 0
            for _ in range(1 + self._random.randrange(6)):
                n = max(1, min(160, int(self._random.lognormvariate(2.6, 0.9))))
                messages += self.turn(n)
                total += n
            yield (
                number,
                self.snapshot(f"20261001_{number:06}_{number:06x}", messages, at=number),
                total,
            )
