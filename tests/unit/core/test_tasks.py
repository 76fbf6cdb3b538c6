import pytest

from timmyd.core.tasks import DEFAULT_TASKS, TASK_TYPES, TaskTable, problems
from timmyd.house.shape import shape


@pytest.mark.parametrize(
    ("tool", "args", "task_type"),
    [
        ("read_file", {"path": "a.py"}, "read"),
        ("web_search", {"query": "x"}, "read"),
        ("write_file", {"path": "a.py"}, "build"),
        ("patch", {"path": "a.py"}, "build"),
        ("execute_code", {"code": "1"}, "build"),
        ("process", {"action": "poll"}, "read"),
        ("process", {"action": "kill"}, "other"),
        ("terminal", {"command": "pytest -q"}, "test"),
        ("terminal", {"command": "cd x && python -m pytest -q"}, "test"),
        ("terminal", {"command": "npm test"}, "test"),
        ("terminal", {"command": "npm run test"}, "test"),
        ("terminal", {"command": "npm run lint"}, "judge"),
        ("terminal", {"command": "npm run build"}, "build"),
        ("terminal", {"command": "make test"}, "test"),
        ("terminal", {"command": "make"}, "build"),
        ("terminal", {"command": "cargo test"}, "test"),
        ("terminal", {"command": "cargo clippy"}, "judge"),
        ("terminal", {"command": "cargo build"}, "build"),
        ("terminal", {"command": "git status"}, "read"),
        ("terminal", {"command": "git push"}, "build"),
        ("terminal", {"command": "ls -l"}, "read"),
        ("terminal", {"command": "test -f x"}, "read"),
        ("terminal", {"command": "ruff check ."}, "judge"),
        ("terminal", {"command": "ruff format ."}, "build"),
        ("terminal", {"command": "mypy ."}, "judge"),
        ("terminal", {"command": "frobnicate"}, "other"),
        ("delegate_task", {"goal": "x"}, "other"),
        ("mcp__lab__page", {"url": "x"}, "other"),
    ],
)
def test_a_call_has_the_task_type_that_its_shape_says(
    tool: str, args: object, task_type: str
) -> None:
    assert TaskTable.default().task_type(tool, shape(tool, args)) == task_type


def test_the_longest_listed_beginning_wins_in_whole_words() -> None:
    table = TaskTable.of(
        {
            "read": ["terminal"],
            "build": ["terminal:git"],
            "test": ["terminal:git push"],
            "judge": [],
        }
    )

    assert table.task_type("terminal", "git push origin") == "test"
    assert table.task_type("terminal", "git pull") == "build"
    assert table.task_type("terminal", "gitk") == "read"
    assert table.task_type("terminal", "") == "read"
    assert table.task_type("process", "git push") == "other"


def test_the_defaults_name_every_task_type_and_hold_no_contradiction() -> None:
    assert tuple(DEFAULT_TASKS) == TASK_TYPES
    assert problems(DEFAULT_TASKS) == []
    assert all(len(set(entries)) == len(entries) for entries in DEFAULT_TASKS.values())


@pytest.mark.parametrize(
    "tasks",
    [
        {"reed": ["read_file"]},
        {"read": [""]},
        {"read": [":git"]},
        {"read": ["terminal:"]},
        {"read": ["terminal: git"]},
        {"read": ["read_file"], "build": ["read_file"]},
    ],
)
def test_a_table_is_not_built_from_entries_that_mean_nothing(tasks: dict[str, list[str]]) -> None:
    with pytest.raises(ValueError, match=r"reed|read|build"):
        TaskTable.of(tasks)


def test_every_default_beginning_is_one_that_a_command_can_have() -> None:
    unreachable = [
        entry
        for entries in DEFAULT_TASKS.values()
        for entry in entries
        if entry.startswith("terminal:")
        and not shape("terminal", {"command": entry.removeprefix("terminal:")}).startswith(
            entry.removeprefix("terminal:")
        )
    ]

    assert unreachable == []
