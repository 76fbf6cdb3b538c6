"""Whatever a config.yaml looks like: our edit is refused, or YAML's own parser sees one name more and nothing else."""

from contextlib import suppress
from typing import Any

from hypothesis import example, given, settings, strategies as st
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from timmyd.service.hermes_config import ConfigLayoutError, Made, disabling, enabling, undoing

LINES = (
    "plugins: null", "plugins: {enabled: }", "  enabled: ~", "  null", "c: &!x y", "c: &a &b x", "t: {a: :b}",
    "plugins:", "plugins: {enabled: [a]}", "plugins: {}", "plugins: ~", "'plugins':", "plugins: &p",
    "  enabled:", "  enabled: [a, b]", "  enabled: [a,", "    b]", "  enabled: []", "  enabled: null",
    "    - a", "  - a", "- a", "    - 'b'", "    - timmy", "    - a # a", "    - *x", "    - a\r",
    "  disabled:", "    - spotify", "  disabled: *l", "  entries:", "    timmy: {x: 1}", "  plugins:",
    "# c", "  # d", "", "   ", "---", "...", "--- # c", "%YAML 1.1", "? x", ": y", "\tq: r", "u: v\t# w",
    "model: x", "model:", '  default: "x"', "model: z\r", "url: http://x:80/#y", "h: a#b", "h: a #b",
    "prompt: |", "prompt: |-", "prompt: |+", "prompt: >", "prompt: |2", "   text", "  text", "    enabled: no",
    'note: "a', 'b"', "b: 'it''s", "x'", "key: value more", "  words go on", "  words: go on", "  - a dash",
    "<<: *d", "d: &d", "  <<: *d", "  x: &l [a]", "a: b: c", "a: - b", "a: !!str b", "    - !!str timmy",
    "t: [a, {b: c}, 'd' , \"e\"]", "t: {a: b, 'c': d,", "  e: [f]}", "l:", "- k: v", "  m: n", "- - o",
    "  - p", "-", "  q", "-1: s", "qwen:8b: t", '"q\\x41": r', "[a]: b", "*d : e", "&k z: y",
)  # fmt: skip
BLOCKS = (
    "plugins:\n  enabled:\n    - a", "plugins:\n  enabled: [a, b]", "plugins:\n  enabled: []",
    "plugins:\n  disabled: [q]", "plugins:\n  enabled:\n  - a\n  - b", "plugins:\n  enabled:\n  - a # x\n  # y",
    "plugins:\n  enabled: [a, # x\n    b]", "plugins: {disabled: [q], enabled: [ a ]}",
)  # fmt: skip


@st.composite
def configs(draw: st.DrawFn) -> bytes:
    lines = draw(st.lists(st.sampled_from(LINES), max_size=9))
    if draw(st.booleans()):
        lines.insert(draw(st.integers(0, len(lines))), draw(st.sampled_from(BLOCKS)))
    end = draw(st.sampled_from(["\n", "\n", "\n", "\r\n"]))
    text = end.join(lines) + draw(st.sampled_from([end, end, "", "  ", end * 2]))
    return (draw(st.sampled_from(["", "", "", "\ufeff"])) + text).encode()


def _load(data: bytes) -> Any:
    yaml = YAML(typ="safe", pure=True)
    yaml.allow_duplicate_keys = True
    return yaml.load(data.decode())


def _parsed(data: bytes) -> tuple[dict[str, Any], str]:
    """What a file says, and what is wrong with it."""
    try:
        return _load(data) or {}, ""
    except YAMLError as error:
        return {}, str(error)


def _bare(found: Any) -> dict[str, Any]:
    """What a file says but for timmy; an empty list is as good as none."""
    plugins = dict(found.get("plugins") or {})
    enabled = [item for item in plugins.pop("enabled", None) or [] if item != "timmy"]
    others = {**plugins, "enabled": enabled} if enabled else plugins
    return {key: value for key, value in {**found, "plugins": others}.items() if value != {}}


@settings(max_examples=400, deadline=None)
@given(data=configs(), made=st.sampled_from(["plugins", "enabled", "item"]))
@example(data=b"model: x\nprompt: |\n  text", made="plugins")
@example(data=b'note: "a\nplugins:\nb"\n', made="plugins")
@example(data=b"plugins:\n  - a\n", made="item")
@example(data=b"d: &d\n  enabled: [a]\nplugins:\n  <<: *d\n", made="item")
def test_an_edit_adds_one_name_and_nothing_else_or_is_refused(data: bytes, made: Made) -> None:
    try:
        edit = enabling(data, "timmy")
    except ConfigLayoutError:
        return
    before, wrong = _parsed(data)
    if wrong:
        # What a file means (a tag that does not fit, a merge of a text) is not looked at; the
        # edit leaves it as wrong as it was.
        assert any(kind in wrong for kind in ("merging", "tag", "expected a"))
        return
    if edit is None:
        assert "timmy" in before["plugins"]["enabled"]
        return
    after = edit.apply(data)
    plugins = dict(before.get("plugins") or {})
    plugins["enabled"] = [*(plugins.get("enabled") or []), "timmy"]
    assert _load(after) == {**before, "plugins": plugins}
    assert undoing(after, edit, "timmy") == data
    with suppress(ConfigLayoutError):
        assert _bare(_load(disabling(after, "timmy", made)) or {}) == _bare(before)
