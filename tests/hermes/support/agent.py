"""A real Hermes agent, run the way a person runs it: one process a turn, or one that goes on."""

import itertools
import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tests.hermes.support.environment import HERMES_019, hermes_environment
from tests.hermes.support.home import HermesHome
from tests.hermes.support.model_server import MODEL, ModelServer
from tests.hermes.support.process import TURN_TIMEOUT_S, Conversation, RunningTurn, TurnResult

TOOLSETS: Final = ("terminal", "file", "todo")

_DRIVER: Final = Path(__file__).with_name("driver.py")
# Nothing listens there: what an agent asks of the world outside is refused at once.
_NO_PROXY: Final = "http://127.0.0.1:9"


class HermesAgent:
    """One Hermes agent with a home of its own, whose model is the scripted server.

    It has no network but loopback, asks for no approval, checks for no update and installs nothing.

    Args:
        version: a key of `environment.REQUIREMENTS`.
        user_home: the folder that is HOME for the agent; made when missing.
        server: its model.
        snapshots: let the older lines write their JSON snapshots.
        toolsets: which of Hermes' toolsets the agent has.
        settings: more settings for config.yaml, merged over the ones set here.
        environment: more environment variables.

    Raises:
        HermesUnavailableError: this version cannot be installed here.
    """

    def __init__(
        self,
        version: str,
        user_home: Path,
        server: ModelServer,
        *,
        snapshots: bool = True,
        toolsets: tuple[str, ...] = TOOLSETS,
        settings: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.version = version
        self.server = server
        self.home = HermesHome(user_home)
        self._venv = hermes_environment(version)
        self._environment = dict(environment or {})
        self._numbers = itertools.count(1)
        self.home.configure(_settings(server, snapshots=snapshots, toolsets=toolsets))
        self.home.configure(settings or {})

    @property
    def python(self) -> Path:
        """The interpreter that has this Hermes."""
        return self._venv / "bin" / "python"

    def run_turn(
        self, text: str, *, resume: str | None = None, timeout: float = TURN_TIMEOUT_S
    ) -> TurnResult:
        """Run one turn in a process of its own, as `hermes chat -q` does.

        Args:
            text: the user's message; its mark picks the model's script.
            resume: the id of the session to go on with.
            timeout: how long it may take, seconds.

        Raises:
            TurnTimeoutError: it took longer.
        """
        return self.start_turn(text, resume=resume).finish(timeout)

    def start_turn(self, text: str, *, resume: str | None = None) -> RunningTurn:
        """Start a turn and return while the agent is at work."""
        command = [str(self._venv / "bin" / "hermes"), "chat", "-Q", "--yolo", "-q", text]
        output = self._new_output("turn")
        with (
            output.with_suffix(".out").open("wb") as out,
            output.with_suffix(".err").open("wb") as err,
        ):
            started_at = time.time()
            process = subprocess.Popen(
                [*command, *_resuming(resume)],
                cwd=self.home.work,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        return RunningTurn(process, started_at, output)

    def conversation(self, *, resume: str | None = None) -> Conversation:
        """Start one process that takes several messages, slash commands included."""
        output = self._new_output("conversation").with_suffix(".log")
        reading, writing = os.pipe()
        with output.open("wb") as log:
            process = subprocess.Popen(
                # -P: the folder of the driver must not hide Hermes' own packages.
                [str(self._venv / "bin" / "python"), "-P", str(_DRIVER), *_resuming(resume)],
                cwd=self.home.work,
                env={**self.environment(), "TIMMY_REPLY_FD": str(writing)},
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=(writing,),
                start_new_session=True,
            )
        os.close(writing)
        return Conversation(process, os.fdopen(reading, "rb"), output)

    def command(self, *arguments: str, timeout: float = TURN_TIMEOUT_S) -> str:
        """What another `hermes` command prints, such as `sessions export`."""
        done = subprocess.run(
            [str(self._venv / "bin" / "hermes"), *arguments],
            cwd=self.home.work,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=True,
        )
        return done.stdout

    def environment(self) -> dict[str, str]:
        """The agent's environment variables; nothing of the test's own gets through.

        But for those that `$TIMMY_TEST_KEEP` names, as a run under another clock needs:
        `TIMMY_TEST_KEEP="LD_PRELOAD FAKETIME" faketime +1y python -m pytest tests/hermes`.
        """
        kept = os.environ.get("TIMMY_TEST_KEEP", "").split()
        empty = self.home.user_home / "no-plugins"
        empty.mkdir(exist_ok=True)
        # The older line loads every certificate authority for each request to the model, which
        # takes six times as long as the rest of a short tool call. One authority is enough.
        authority = {"SSL_CERT_FILE": str(self._authority())} if self.version == HERMES_019 else {}
        return {
            **{name: os.environ[name] for name in kept if name in os.environ},
            "PATH": f"{self._venv / 'bin'}:/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "HOME": str(self.home.user_home),
            "HERMES_HOME": str(self.home.path),
            "HERMES_YOLO_MODE": "1",
            "HERMES_DISABLE_LAZY_INSTALLS": "1",
            # The bundled plugins are web and image services; without them a start is shorter.
            "HERMES_BUNDLED_PLUGINS": str(empty),
            "HTTP_PROXY": _NO_PROXY,
            "HTTPS_PROXY": _NO_PROXY,
            "NO_PROXY": "127.0.0.1,localhost",
            **authority,
            **self._environment,
        }

    def _new_output(self, kind: str) -> Path:
        folder = self.home.user_home / "output"
        folder.mkdir(exist_ok=True)
        return folder / f"{kind}-{next(self._numbers)}"

    def _authority(self) -> Path:
        path = self.home.user_home / "one-authority.pem"
        if not path.exists():
            (bundle,) = self._venv.glob("lib/python*/site-packages/certifi/cacert.pem")
            end = "-----END CERTIFICATE-----\n"
            first, _, _ = bundle.read_text("utf-8").partition(end)
            path.write_text(first + end, encoding="utf-8")
        return path


def _resuming(session_id: str | None) -> list[str]:
    return [] if session_id is None else ["--resume", session_id]


def _settings(server: ModelServer, *, snapshots: bool, toolsets: tuple[str, ...]) -> dict[str, Any]:
    return {
        "model": {
            "provider": "custom",
            "default": MODEL,
            "base_url": server.base_url,
            "api_key": "none-needed",
            # Without it Hermes asks servers on the internet how long the context is.
            "context_length": 131_072,
        },
        "agent": {"max_turns": 500, "environment_probe": False},
        # There is no prompt to confirm /new, /undo and the like at.
        "approvals": {"destructive_slash_confirm": False},
        "sessions": {"write_json_snapshots": snapshots},
        "platform_toolsets": {"cli": list(toolsets)},
        "security": {"tirith_enabled": False, "allow_lazy_installs": False},
        "updates": {"check": False},
        # Hermes' own reviews and titles: requests to the model that no test asked for.
        "memory": {"nudge_interval": 0},
        "skills": {"creation_nudge_interval": 0},
        "auxiliary": {"title_generation": {"enabled": False}},
    }
