import hashlib
import json
import re
from pathlib import Path

import pytest

from timmyd.house.shape import LONGEST_SHAPE, describe, shape, signature

CORPUS = Path(__file__).parents[2] / "data" / "corpus"
ALLOWED = re.compile(r"[A-Za-z0-9 ._:/+-]{1,64}")


def first_16(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


@pytest.mark.parametrize(
    ("args", "hashed"),
    [
        ({"b": 1, "a": [1.5, None]}, b'{"a":[1.5,null],"b":1}'),
        ('{"b": 1,\n "a": [1.5, null]}', b'{"a":[1.5,null],"b":1}'),
        ({"command": "echo \u0159"}, '{"command":"echo \u0159"}'.encode()),
        ('{"a": "\\ud800"}', b'{"a":"\xed\xa0\x80"}'),
        ({}, b"{}"),
        ("", b""),
        ("null", b"null"),
        ("[1, 2]", b"[1, 2]"),
        ("{oops", b"{oops"),
        ('{"a": NaN}', b'{"a": NaN}'),
        ("\ud800", b"\xed\xa0\x80"),
        (b"raw", b"raw"),
        (None, b"null"),
        ([1, 2], b"[1,2]"),
        ({"a": float("nan")}, b'{"a":NaN}'),
    ],
)
def test_a_signature_is_the_hash_of_the_canonical_object_or_of_the_raw_bytes(
    args: object, hashed: bytes
) -> None:
    assert signature(args) == first_16(hashed)


def test_a_signature_of_what_has_no_json_is_still_the_same_each_time() -> None:
    circular: dict[object, object] = {}
    circular["self"] = circular

    for args in (
        circular,
        {1: "a", "b": 2},
        {"a": object()},
        object(),
        '{"a": ' + "9" * 5_000 + "}",
    ):
        assert signature(args) == signature(args)
        assert re.fullmatch(r"[0-9a-f]{16}", signature(args))


COMMANDS = [
    ("git push origin main", "git push"),
    ("git", "git"),
    ("git -C /srv/repo --no-pager log -3", "git log"),
    ("git frobnicate", "git"),
    ("/usr/bin/git status", "git status"),
    ("git status;", "git status"),
    ("cd x && git push", "git push"),
    ("cd x; export TOKEN=abc; ./deploy.sh", ".sh"),
    ("cd a; cd b", "cd"),
    ("FOO=secret cmd", "other"),
    ("FOO=secret git status", "git status"),
    ("FOO='a b' BAR=\"$(cat x)\" git status", "git status"),
    ("A=1", "other"),
    ("sudo -u alice apt-get install -y foo", "apt-get install"),
    ("sudo env A=b timeout 5s nice -n 10 pytest -q", "pytest"),
    ("cat x | grep y", "cat"),
    ("make test || true", "make test"),
    ("make -j4 hunter", "make"),
    ("python3 -c 'print(1)'", "python -c"),
    ("python3.11 -m pytest -q", "pytest"),
    ("python -m pip install x", "pip install"),
    ("python -m secretmodule", "python -m"),
    ("python scripts/run.py --key abc", "python .py"),
    ("python", "python"),
    ("node app", "node"),
    ("bash -lc 'ls'", "bash -c"),
    ("perl -e 'print 1'", "perl -e"),
    ("npm run build", "npm run build"),
    ("npm run hunter2", "npm run"),
    ("npm test", "npm test"),
    ("uv run pytest -x", "pytest"),
    ("uv run hunter2", "uv run"),
    ("poetry run python -m mypy .", "mypy"),
    ("npx jest", "jest"),
    ("docker compose up -d", "docker compose"),
    ("kubectl -n prod get pods", "kubectl get"),
    ("ssh deploy@host.example.com uptime", "ssh"),
    ("echo hi > /tmp/secret; ls", "ls"),
    ("echo hi", "echo"),
    ("2>&1 >out ls", "ls"),
    ("(cd a && make test)", "make test"),
    ("for i in 1 2; do echo $i; done", "echo"),
    ("if [ -f x ]; then cargo build; fi", "cargo build"),
    ("# hunter2\nls", "ls"),
    ("cat <<EOF > x\nhunter2\nEOF", "cat"),
    ("'git' push", "other"),
    ("$GIT push", "other"),
    ("git\\ push", "other"),
    ("hunter2", "other"),
    ("correcthorsebatterystaple", "other"),
    ("./hunter2", "other"),
    ("10.0.0.1", "other"),
    ("'unclosed git push", "other"),
    ("", "other"),
    ("  \n ", "other"),
]  # fmt: skip


@pytest.mark.parametrize(("command", "expected"), COMMANDS)
def test_a_command_line_shows_its_program_and_subcommand(command: str, expected: str) -> None:
    assert shape("terminal", {"command": command}) == expected


@pytest.mark.parametrize(
    ("tool", "args", "expected"),
    [
        ("read_file", {"path": "src/Main.PY", "offset": 3}, ".py"),
        ("write_file", {"path": "/etc/shadow", "content": "x"}, "file"),
        ("write_file", {"path": "a.hunter2"}, "file"),
        ("write_file", {"content": "x"}, "content"),
        ("patch", {"mode": "patch", "patch": "*** Begin Patch"}, "mode patch"),
        ("search_files", {"pattern": "x", "path": "."}, "path pattern"),
        ("process", {"action": "poll", "session_id": "p"}, "poll"),
        ("process", {"action": "hunter2"}, "action"),
        ("process", {"action": ["poll"]}, "action"),
        ("terminal", {"command": ["git", "push"]}, "command"),
        ("terminal", {"": "git push"}, "-"),
        ("web_search", {"query": "x"}, "query"),
        ("lab", {}, "-"),
        ("lab", {"sk-proj-abc": 1, "maxItems": 1, "AKIA1234": 1, "x1": 2, "qzxwvkjh": 3}, "maxItems"),
        ("lab", "", "malformed"),
        ("lab", "[1]", "malformed"),
        ("lab", '{"url": "http://host"}', "url"),
        ("lab", None, "malformed"),
    ],
)  # fmt: skip
def test_other_calls_show_a_suffix_an_action_or_the_names_of_their_arguments(
    tool: str, args: object, expected: str
) -> None:
    assert shape(tool, args) == expected


def test_many_long_names_are_cut_at_a_whole_name() -> None:
    args = {f"{word}argument_with_long_name": 1 for word in ("a", "be", "co", "di", "eu", "fa")}

    found = shape("lab", args)

    assert len(found) <= LONGEST_SHAPE
    assert set(found.split()) <= set(args)


def test_every_call_of_the_corpus_has_a_shape_of_the_allowed_characters() -> None:
    calls = 0
    for path in sorted(CORPUS.glob("*/versions/*.json")):
        for message in json.loads(path.read_text())["messages"]:
            for call in message.get("tool_calls") or ():
                function = call["function"]
                name, arguments = function["name"], function["arguments"]
                calls += 1

                described = describe(name, arguments)

                assert ALLOWED.fullmatch(described[1])
                assert described == (signature(arguments), shape(name, arguments))
                assert described == (
                    signature(json.loads(arguments)),
                    shape(name, json.loads(arguments)),
                )
    assert calls > 100


@pytest.mark.parametrize(
    "command", ["git " * 300_000, "'" * 300_000, "a" * 3_000_000, ";" * 300_000, "\\" * 300_000]
)
def test_no_command_line_is_too_long(command: str) -> None:
    assert ALLOWED.fullmatch(shape("terminal", {"command": command}))


def test_no_argument_is_too_deep_and_no_name_too_slow() -> None:
    assert shape("lab", '{"a": ' + "[" * 100_000) == "malformed"
    assert shape("lab", {"a" * 24 + "1": 1, "ab" * 12: 1, "aA" * 12: 1}) == "ab" * 12
