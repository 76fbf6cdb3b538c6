import json
import re
import string

from hypothesis import given, strategies as st

from timmyd.house.shape import describe, shape, signature

ALLOWED = re.compile(r"[A-Za-z0-9 ._:/+-]{1,64}")
TOOLS = st.sampled_from(
    [
        "terminal",
        "process",
        "read_file",
        "write_file",
        "patch",
        "execute_code",
        "web_extract",
        "mcp__lab__page",
        "",
    ]
)
ALPHANUMERIC = st.text(string.ascii_letters + string.digits, min_size=12, max_size=40)
SECRETS = st.one_of(
    ALPHANUMERIC,
    ALPHANUMERIC.map("sk-proj-{}".format),
    ALPHANUMERIC.map("ghp_{}".format),
    st.text(string.ascii_lowercase, min_size=12, max_size=20),
    st.tuples(ALPHANUMERIC, ALPHANUMERIC).map(lambda two: f"{two[0]}@{two[1]}.example.com"),
    ALPHANUMERIC.map("{}.internal.example.com".format),
    st.ip_addresses().map(str).filter(lambda text: len(text) > 6),
)
COMMANDS = st.sampled_from(
    [
        "{}", "./{}", "/{}/{}", "{} git push", "git {}", "git {} push", "git commit -m {}", "FOO={} ls", "{}=x ls",
        "sudo -u {} ls", "sudo {}", "ssh {}", "ssh root@{} ls", "curl -H 'A: {}' https://{}/x", "echo {} | docker login",
        "python -m {}", "python {}.py", "python -c '{}'", "npm run {}", "make {}", "uv run {}", "npx {}", "cd {} && {}",
        "export A={}", "cat <<EOF\n{}\nEOF", "$({})", "`{}`", '"{}" x', "x\\{}", "for {} in {}; do {}; done", "# {}",
        "> {} {}", "timeout {} {}", "env -u {} {}", "kubectl -n {} {}", "{}; {} | {} && {}", "ls\n{}", "{}.{}", "-{}",
    ]
)  # fmt: skip
NAMES = st.sampled_from(
    ["command", "path", "action", "url", "query", "content", "code", "x1", "goal"]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(max_size=20) | NAMES, VALUES, max_size=6)


@given(
    tool=TOOLS, secret=SECRETS, template=COMMANDS, names=st.lists(NAMES, min_size=1, unique=True)
)
def test_no_value_of_an_argument_is_in_a_shape(
    tool: str, secret: str, template: str, names: list[str]
) -> None:
    value = template.replace("{}", secret)

    found = shape(tool, dict.fromkeys(names, value))

    assert ALLOWED.fullmatch(found)
    assert secret.lower() not in found.lower()


@given(tool=TOOLS, secret=SECRETS, names=st.lists(NAMES, min_size=1, unique=True))
def test_a_secret_deep_in_the_arguments_is_not_in_a_shape(
    tool: str, secret: str, names: list[str]
) -> None:
    assert secret not in shape(tool, {name: {secret: [secret, {"a": secret}]} for name in names})


@given(tool=TOOLS, args=OBJECTS | VALUES | st.binary())
def test_any_arguments_have_a_shape_and_a_signature(tool: str, args: object) -> None:
    assert ALLOWED.fullmatch(shape(tool, args))
    assert re.fullmatch(r"[0-9a-f]{16}", signature(args))


@given(tool=TOOLS, text=st.text())
def test_any_text_has_a_shape_and_a_signature(tool: str, text: str) -> None:
    assert describe(tool, text) == (signature(text), shape(tool, text))
    assert ALLOWED.fullmatch(shape("terminal", {"command": text}))
    assert ALLOWED.fullmatch(shape("read_file", {"path": text}))


@given(tool=TOOLS, args=OBJECTS, random=st.randoms(use_true_random=False))
def test_the_order_of_members_and_the_form_of_the_text_do_not_matter(
    tool: str, args: dict[str, object], random: object
) -> None:
    members = list(args.items())
    random.shuffle(members)  # type: ignore[attr-defined]
    shuffled = dict(members)

    expected = (signature(args), shape(tool, args))

    assert (signature(shuffled), shape(tool, shuffled)) == expected
    assert describe(tool, json.dumps(shuffled)) == expected
    assert describe(tool, json.dumps(shuffled, indent=1, ensure_ascii=False)) == expected


@given(one=OBJECTS, other=OBJECTS)
def test_different_arguments_have_different_signatures(
    one: dict[str, object], other: dict[str, object]
) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)

    assert (signature(one) == signature(other)) is same


@given(
    words=st.lists(
        st.text(string.ascii_lowercase + "-=/.1", min_size=1)
        | st.sampled_from(["git", "push", "sudo"])
    )
)
def test_grammar_that_says_nothing_changes_nothing(words: list[str]) -> None:
    line = " ".join(words)

    assert shape("terminal", {"command": line}) == shape("terminal", {"command": f"{line} # x"})
