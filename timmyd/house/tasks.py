"""What kind of work a call is: read, build, test or judge, by its tool and the first words of its shape."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

TASK_TYPES: Final[tuple[str, ...]] = ("read", "build", "test", "judge")
OTHER: Final = "other"


def _terminal(*shapes: str) -> tuple[str, ...]:
    return tuple(f"terminal:{shape}" for shape in shapes)


def _each(program: str, subcommands: str) -> tuple[str, ...]:
    return tuple(f"{program} {word}" for word in subcommands.split())


_READ_PROGRAMS: Final = (
    "ag awk basename bat cal cat cd column comm curl cut date df diff dig dirname dmesg du echo egrep env eza fd fgrep"
    " file find free getent gh grep head hexdump host hostname htop id ifconfig ip journalctl jq less locate ls lsblk"
    " lscpu lsof man md5sum more netstat nl nproc nslookup od pgrep ping printenv printf ps pwd readlink realpath rg"
    " seq sha256sum sort ss stat strings tac tail test top tr tree type uname uniq uptime wc wget whereis which who whoami"
    " xxd yq zcat"
)
_BUILD_PROGRAMS: Final = (
    "ansible-playbook apk apt apt-get black brew cc chmod chown clang cmake cp docker docker-compose dnf esbuild g++ gcc"
    " gofmt helm install isort javac kubectl ld ln make mkdir mkdocs mktemp mv ninja pandoc patch pip pipx podman"
    " prettier rm rmdir rollup rsync rustc rustfmt sed sphinx-build tar tee terraform tofu touch truncate tsc twine"
    " unzip vite webpack zip npm pnpm yarn bun cargo dotnet gem git go gradle gradlew hatch mvn pdm poetry uv just task"
)
_TEST_PROGRAMS: Final = "ava ctest coverage cypress doctest gotestsum jest karma mocha nox phpunit pytest rspec tox unittest vitest"
_JUDGE_PROGRAMS: Final = (
    "actionlint ansible-lint bandit biome cppcheck eslint flake8 golangci-lint hadolint markdownlint mypy pre-commit"
    " pycodestyle pyflakes pylint pyright rubocop ruff shellcheck staticcheck yamllint"
)
_READ_SUBCOMMANDS: Final = (
    *_each(
        "git",
        "blame cat-file describe diff grep log ls-files ls-remote ls-tree merge-base range-diff reflog",
    ),
    *_each("git", "rev-list rev-parse shortlog show show-ref status"),
    *_each("docker", "diff events history images info inspect logs ps search stats top version"),
    *_each("podman", "diff events history images info inspect logs ps search stats top version"),
    *_each(
        "kubectl", "api-resources cluster-info describe diff events explain get logs top version"
    ),
    *_each(
        "systemctl",
        "cat is-active is-enabled is-failed list-timers list-unit-files list-units show status",
    ),
    *_each("pip", "check debug freeze index inspect list show"),
    *_each("npm", "info list ls outdated search view why"),
    *_each("cargo", "search tree"),
    *_each("go", "doc env list version"),
    *_each("apt", "list policy search show"),
    *_each("helm", "get history list search show status"),
    *_each("terraform", "get output show state version"),
    *_each("hermes", "doctor sessions status version"),
    *_each("ollama", "list ps show"),
)
_TEST_SUBCOMMANDS: Final = (
    *(
        f"{program} {word}"
        for program in ("npm", "pnpm", "yarn", "bun")
        for word in ("test", "t", "run test")
    ),
    *(
        f"{program} test"
        for program in ("bazel", "cargo", "deno", "dotnet", "go", "gradle", "gradlew", "hatch")
    ),
    *(
        f"{program} test"
        for program in ("helm", "just", "make", "mix", "mvn", "ninja", "rake", "task")
    ),
    *_each("make", "check coverage integration tests unit"),
    *_each("cargo", "bench miri nextest"),
    *_each("just", "check tests unit"),
    "gradle check",
    "gradlew check",
    "mvn verify",
    "npm run tests",
    "rake spec",
)
_JUDGE_SUBCOMMANDS: Final = (
    *(
        f"{program} {word}"
        for program in ("npm", "pnpm", "yarn", "bun")
        for word in ("run lint", "audit")
    ),
    *(f"{program} run typecheck" for program in ("npm", "pnpm", "yarn", "bun")),
    *_each("cargo", "audit check clippy"),
    *_each("make", "audit lint typecheck validate verify"),
    *_each("terraform", "plan validate"),
    "deno lint",
    "git bisect",
    "go vet",
    "helm lint",
    "just lint",
    "npm run check",
)
_BUILD_SUBCOMMANDS: Final = ("ruff format", "biome format")

DEFAULT_TASKS: Final[Mapping[str, tuple[str, ...]]] = {
    "read": (
        *(
            "read_file",
            "search_files",
            "session_search",
            "skills_list",
            "skill_view",
            "tool_search",
            "tool_describe",
        ),
        *(
            "web_search",
            "web_extract",
            "x_search",
            "vision_analyze",
            "video_analyze",
            "ha_get_state",
            "ha_list_entities",
        ),
        *(
            "ha_list_services",
            "kanban_show",
            "kanban_list",
            "browser_snapshot",
            "browser_get_images",
            "browser_console",
        ),
        *("browser_vision", "process:list", "process:poll", "process:log", "process:wait"),
        *_terminal(*_READ_PROGRAMS.split(), *_READ_SUBCOMMANDS),
    ),
    "build": (
        *(
            "write_file",
            "patch",
            "execute_code",
            "skill_manage",
            "image_generate",
            "text_to_speech",
        ),
        *_terminal(*_BUILD_PROGRAMS.split(), *_BUILD_SUBCOMMANDS),
    ),
    "test": _terminal(*_TEST_PROGRAMS.split(), *_TEST_SUBCOMMANDS),
    "judge": ("clarify", *_terminal(*_JUDGE_PROGRAMS.split(), *_JUDGE_SUBCOMMANDS)),
}


@dataclass(frozen=True, slots=True)
class TaskTable:
    """Answers which kind of work a call is; built once from the settings.

    Attributes:
        tools: The task type of each tool that is listed without a shape.
        shapes: For each tool, the task type of each listed beginning of a shape.
    """

    tools: Mapping[str, str]
    shapes: Mapping[str, Mapping[str, str]]

    @classmethod
    def default(cls) -> Self:
        """The table of `DEFAULT_TASKS`."""
        return cls.of(DEFAULT_TASKS)

    @classmethod
    def of(cls, tasks: Mapping[str, Sequence[str]]) -> Self:
        """Build the table from lists of `tool` and `tool:shape` entries, as in the settings.

        Args:
            tasks: For each of `TASK_TYPES` (all optional) its entries.

        Raises:
            ValueError: What `problems` finds, one finding a line.
        """
        if found := problems(tasks):
            raise ValueError("\n".join(found))
        tools: dict[str, str] = {}
        shapes: dict[str, dict[str, str]] = {}
        for task_type, entries in tasks.items():
            for entry in entries:
                tool, colon, shape = entry.partition(":")
                if colon:
                    shapes.setdefault(tool, {})[shape] = task_type
                else:
                    tools[tool] = task_type
        return cls(tools=tools, shapes=shapes)

    def task_type(self, tool: str, shape: str) -> str:
        """The task type of a call: of the longest listed beginning of its shape, else of its tool, else `other`.

        A beginning is one of whole words: `git` is one of `git push`, `gi` is not.
        """
        shapes = self.shapes.get(tool)
        if shapes is not None:
            while shape:
                if (found := shapes.get(shape)) is not None:
                    return found
                shape = shape.rpartition(" ")[0]
        return self.tools.get(tool, OTHER)


def problems(tasks: Mapping[str, Sequence[str]]) -> list[str]:
    """Find what is wrong with lists of entries: unknown task types, empty names, one entry under two types."""
    found = [
        f"{task_type}: expected one of {', '.join(TASK_TYPES)}"
        for task_type in tasks
        if task_type not in TASK_TYPES
    ]
    owners: dict[str, str] = {}
    for task_type, entries in tasks.items():
        for entry in entries:
            tool, colon, shape = entry.partition(":")
            if not tool.strip() or (colon and not shape) or " ".join(shape.split()) != shape:
                found.append(f"{task_type}: expected `tool` or `tool:shape`, got {entry!r}")
            elif owners.setdefault(entry, task_type) != task_type:
                found.append(f"{task_type}: {entry!r} is already under {owners[entry]}")
    return found
