"""config.yaml changes only by the lines of one plugin, is right afterwards, and comes back to the byte."""

from typing import Any

import pytest
from ruamel.yaml import YAML

from timmyd.service.hermes_config import (
    ConfigLayoutError,
    Made,
    disabling,
    enabling,
    is_enabled,
    traces,
    undoing,
)

REAL = b"""\
# Hermes Agent configuration
# -------------------------------------------------------------------
model:
  default: "hermes3:8b"      # the small one
  provider: custom
  base_url: http://127.0.0.1:11434/v1

# Tools.
toolsets:
- hermes-cli   # same indent as its key

agent:
  max_turns: 90
  system_prompt: |
    plugins:
      enabled: no
    # not a comment

plugins:
  # what I use
  enabled:
    - disk-cleanup   # weekly
    - 'observability/langfuse'

  # off for now
  disabled:
    - spotify

terminal: {backend: local, cwd: "."}   # flow

display:
    compact:   false
"""

LAYOUTS: dict[str, bytes] = {
    "a real one": REAL,
    "none": b"",
    "comments only": b"# nothing yet\n\n",
    "no plugins": b"model:\n  default: x\n",
    "no end of the last line": b"model:\n  default: x",
    "a list at the depth of its key": b"plugins:\n  enabled:\n  - a\n  - b\nmodel: x\n",
    "a flow list": b"plugins:\n  enabled: [a, 'b']   # two\nmodel: x\n",
    "a flow list with a comma at the end": b"plugins:\n  enabled: [a, ]\n",
    "an empty flow list": b"plugins:\n    enabled: []\n",
    "an empty flow list with room": b"plugins:\n    enabled: [ ]\n",
    "no enabled": b"plugins:\n    disabled: [x]\n    hooks: {}\nmodel: x\n",
    "nothing below plugins": b"plugins:\nmodel: x\n",
    "nothing below enabled": b"plugins:\n  enabled:\nmodel: x\n",
    "windows line ends": b"plugins:\r\n  enabled:\r\n    - a\r\nmodel: x\r\n",
    "a start of the document": b"---\n# head\nplugins:\n  enabled:\n    - a\n",
    "a mark of byte order": b"\xef\xbb\xbfplugins:\n  enabled:\n    - a\n",
    "a mark of byte order and no plugins": b"\xef\xbb\xbfmodel: x\n",
    "quoted keys": b'"plugins":\n  "enabled":\n    - "a"\n',
    "a list that ends without a line end": b"plugins:\n  enabled:\n    - a",
    "comments between and after": b"plugins:\n  enabled:\n    # one\n    - a\n\n    # after\n\n# top\nmodel: x\n",
    "a flow mapping": b"plugins: {enabled: [a], disabled: [ b ]}   # all\nmodel: x\n",
    "a flow mapping without enabled": b"plugins: {disabled: [b]}\n",
    "an empty flow mapping": b"plugins: {}\nmodel: x\n",
    "a flow list over lines": b"plugins:\n  enabled: [a, # one\n    b # two\n  ]\nmodel: x\n",
    "a key inside of a quoted text": b'note: "a\nplugins:\nb"\n',
    "a key inside of a text in single quotes": b"note: 'it''s\n\n  plugins:\n  # no'\nplugins:\n  enabled: [a]\n",
    "a key inside of a text of lines": b"note: >-\n  plugins:\n    enabled: [x]\nplugins:\n  enabled: [a]\n",
    "a text of lines without an end": b"model: |\n  x",
    "a text that keeps its end": b"a: 1\nmodel: |+\n  x\n\n",
    "a text that keeps its end, without one": b"# top\nmodel: |+\n  x\n\n  ",
    "a text of lines, stripped, without an end": b"model: |-\n  x",
    "a long text over lines": b"model: some words\n  that go on\n\n  and on\nplugins:\n  enabled:\n  - a\n",
    "merges elsewhere": b"d: &d\n  enabled: [a]\nmodel:\n  <<: *d\nplugins:\n  enabled: [b]\n",
    "a merge below explicit lists": b"d: &d {hooks: 1}\nplugins:\n  <<: *d\n  enabled: [b]\n  disabled: []\n",
    "keys with colons, numbers and dashes": b"hermes3:8b: a\n-100123: b\n3: c\nurl: http://h:1/#x\n",
    "lists of mappings": b"servers:\n- name: a\n  args: [-x, '#']\n-\n  name: b\n- - c\n  - d\n",
    "a tab in a comment and in quotes": b"# a\tb\nmodel: \"x\ty\"\n",
    "no plugins, in a word": b"plugins: null\nmodel: null\n",
    "no plugins, in a sign": b"model: x\nplugins: ~   # none",
    "no plugins, below the key": b"plugins:\r\n  # none\r\n  Null\r\nmodel: x\r\n",
    "no list, in a word": b"plugins:\n  disabled: null\n  enabled: null   # none\n",
    "no list in brackets": b"plugins: {enabled: , disabled: [b]}\n",
    "letters beyond ascii": "# grüße 😀\nplugins:\n  enabled: [ä-x]\n".encode().replace(b"\xc3\xa4-x", b"a"),
}  # fmt: skip

BEYOND: dict[str, bytes] = {
    "a list": b"plugins:\n  - a\n",
    "a merge that brings the list": b"d: &d\n  enabled: [a]\nplugins:\n  <<: *d\n",
    "a merge that may bring what is disabled": b"d: &d {x: 1}\nplugins:\n  <<: *d\n  enabled: [a]\n",
    "a merge at the top": b"d: &d {plugins: {enabled: [a]}}\n<<: *d\n",
    "an anchor on plugins": b"plugins: &p\n  enabled: [a]\nx: *p\n",
    "a tag on the list": b"plugins:\n  enabled: !!set\n    - a\n",
    "a name with escapes": b'plugins:\n  enabled: ["tim\\x6dy"]\n',
    "a key with escapes": b'"plug\\x69ns":\n  enabled: [a]\n',
    "an alias in the list": b"x: &t timmy\nplugins:\n  enabled: [*t]\n",
    "enabled twice": b"plugins:\n  enabled: [a]\n  enabled: [b]\n",
    "twice in other quotes": b"plugins:\n  enabled: [a]\n'plugins':\n  enabled: [b]\n",
    "a text without its end": b'note: "a\nplugins:\n',
    "brackets without their end": b"x: [a, b\nplugins:\n",
    "an explicit key": b"? plugins\n: enabled: [a]\n",
    "a directive": b"%YAML 1.2\n---\na: b\n",
    "an end of the document": b"a: b\n...\n",
    "a mark inside of a text": b'a: "b\n--- c"\n',
    "a tab that separates": b"model:\tx\n",
    "a tab before a comment": b"model: x\t# y\n",
    "only carriage returns": b"model: x\rplugins:\r",
    "a control character": b"model: \x07\n",
    "utf-16": "plugins:\n".encode("utf-16"),
    "an indentation that fits nowhere": b"plugins:\n    enabled:\n      - a\n  disabled: []\n",
    "a key inside of a value": b"model: a: b\n",
    "an alias of nothing": b"model: *m\n",
    "far too deep": b"a: " + b"[" * 200 + b"]" * 200 + b"\n",
    "all flow": b"{plugins: {enabled: []}}\n",
    "an anchor": b"plugins:\n  enabled: &list\n    - a\n",
    "an alias": b"x: &l [a]\nplugins:\n  enabled: *l\n",
    "a merge": b"plugins: *p\n",
    "a nested list": b"plugins:\n  enabled:\n    - [a]\n",
    "objects in the list": b"plugins:\n  enabled:\n    - name: a\n",
    "tabs": b"plugins:\n\tenabled:\n",
    "several documents": b"a: 1\n---\nb: 2\n",
    "twice": b"plugins:\n  enabled: [a]\nplugins:\n  enabled: [b]\n",
    "a list at the top": b"- a\n- b\n",
    "a word": b"hello\n",
    "keys that are indented": b"  model: x\n",
    "no text": b"\xff\xfe\x00",
    "switched off": b"plugins:\n  disabled: [timmy]\n",
    "a null list in brackets": b"plugins: {enabled: ~}\n",
    "a quoted null": b"plugins: 'null'\n",
    "a null in the list": b"plugins:\n  enabled:\n    - null\n",
    "a null with a tag": b"plugins: !!null ~\n",
    "an anchor of signs": b"model: &a*b x\n",
    "two anchors": b"model: &a &b x\n",
    "a tag that nobody knows": b"model: !x y\n",
    "a text in brackets that begins with a colon": b"model: {a: :b}\n",
    "a key in brackets apart from its colon": b"model: {a\n: b}\n",
    "text": b"plugins:\n  enabled: timmy, a\n",
}


# What Hermes makes of such a file when it writes it again: PyYAML up to 0.19, ruamel afterwards.
REWRITTEN: dict[str, tuple[bytes, bytes]] = {
    "our whole block": (b"model: x\n", b"model: x\nplugins:\n  enabled:\n  - timmy\n"),
    "our list": (
        b"model: x\nplugins:\n  disabled: []\n",
        b"_version: 3\nplugins:\n  disabled: []\n  enabled:\n    - timmy\nmodel: x\n",
    ),
    "our item": (
        b"plugins:\n  enabled: [b]\n",
        b"plugins:\n  enabled:\n  - b\n  - timmy\n",
    ),
    "our item in another order": (
        b"plugins:\n  enabled:\n    - zoo\n",
        b"plugins:\n  disabled: []\n  enabled:\n  - timmy\n  - zoo\n",
    ),
    "the user's item gone": (
        b"plugins:\n  enabled:\n    - b\n",
        b"plugins:\n  enabled:\n  - timmy\nmodel: x\n",
    ),
    "a list that became flow": (b"plugins:\n  enabled:\n", b"plugins:\n  enabled: [timmy]\n"),
}


def _load(data: bytes) -> dict[str, Any]:
    found: dict[str, Any] | None = YAML(typ="safe", pure=True).load(data.decode())
    return found or {}


def _with_timmy(before: dict[str, Any]) -> dict[str, Any]:
    plugins = dict(before.get("plugins") or {})
    return {**before, "plugins": {**plugins, "enabled": [*(plugins.get("enabled") or []), "timmy"]}}


@pytest.mark.parametrize("name", LAYOUTS)
def test_only_one_name_is_added_and_every_line_of_the_user_stays_as_it_was(name: str) -> None:
    before = LAYOUTS[name]
    edit = enabling(before, "timmy")
    assert edit is not None
    after = edit.apply(before)

    assert _load(after) == _with_timmy(_load(before))
    assert is_enabled(after, "timmy")
    assert after[: edit.offset] + after[edit.offset + len(edit.text) :] == before
    assert undoing(after, edit, "timmy") == before
    assert enabling(after, "timmy") is None


@pytest.mark.parametrize("name", BEYOND)
def test_a_layout_beyond_a_careful_edit_is_refused_in_one_sentence(name: str) -> None:
    with pytest.raises(ConfigLayoutError) as refused:
        enabling(BEYOND[name], "timmy")

    first, hint = str(refused.value).split("\n")
    assert first == refused.value.sentence
    assert first.startswith("config.yaml")
    assert hint.startswith("  hint: ")


def test_a_refusal_names_the_line() -> None:
    with pytest.raises(ConfigLayoutError, match="line 2: expected `plugins:` as a block of keys"):
        enabling(BEYOND["a list"], "timmy")
    with pytest.raises(ConfigLayoutError, match="line 4: found `<<:`, which may bring `enabled`"):
        enabling(BEYOND["a merge that brings the list"], "timmy")
    with pytest.raises(ConfigLayoutError, match="hint: hermes plugins enable timmy"):
        enabling(BEYOND["switched off"], "timmy")


@pytest.mark.parametrize("name", LAYOUTS)
def test_after_the_user_changed_the_file_only_our_name_goes(name: str) -> None:
    edit = enabling(LAYOUTS[name], "timmy")
    assert edit is not None
    installed = edit.apply(LAYOUTS[name])
    bom = b"\xef\xbb\xbf" if installed.startswith(b"\xef\xbb\xbf") else b""
    rest = installed.removeprefix(bom)
    start = b"" if rest.startswith(b"---") else b"# mine\nextra: 1\n"
    changed = bom + start + rest + (b"" if rest.endswith(b"\n") else b"\n") + b"# end\n"
    after = undoing(changed, edit, "timmy")

    assert _bare(_load(after)) == _bare(_load(changed))
    assert "timmy" not in ((_load(after).get("plugins") or {}).get("enabled") or [])
    assert after.endswith(b"# end\n")


def _bare(found: dict[str, Any]) -> dict[str, Any]:
    """What a file says but for timmy; an empty list is as good as none."""
    plugins = dict(found.get("plugins") or {})
    enabled = [item for item in plugins.pop("enabled", None) or [] if item != "timmy"]
    others = {**plugins, "enabled": enabled} if enabled else plugins
    return {key: value for key, value in {**found, "plugins": others}.items() if value != {}}


@pytest.mark.parametrize("name", REWRITTEN)
def test_after_hermes_wrote_the_file_again_the_rest_of_it_stays(name: str) -> None:
    before, rewritten = REWRITTEN[name]
    edit = enabling(before, "timmy")
    assert edit is not None
    after = undoing(rewritten, edit, "timmy")

    assert _bare(_load(after)) == _bare(_load(rewritten))
    assert not is_enabled(after, "timmy")
    enabled = (_load(after).get("plugins") or {"enabled": []}).get("enabled", [])
    assert enabled is not None, "a list that became empty is a list"


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        ("plugins", b"model: x\n"),
        ("enabled", b"plugins:\nmodel: x\n"),
        ("item", b"plugins:\n  enabled: []\nmodel: x\n"),
    ],
)
def test_what_was_made_for_the_plugin_goes_with_it_if_nothing_else_is_in_it(
    made: Made, wanted: bytes
) -> None:
    installed = b"plugins:\n  enabled:\n  - timmy\nmodel: x\n"

    assert disabling(installed, "timmy", made) == wanted


def test_a_comment_between_our_lines_does_not_fall_into_the_text_above() -> None:
    installed = b"model: |\n  x\nplugins:\n  # mine\n  enabled:\n  - timmy\n"
    after = disabling(installed, "timmy", "plugins")

    assert _bare(_load(after)) == {"model": "x\n"}
    assert b"# mine" in after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"[timmy]", b"[]"),
        (b"[timmy, ]", b"[ ]"),
        (b"[timmy, a]", b"[a]"),
        (b"[a, timmy]", b"[a]"),
        (b"[a, 'timmy', b]", b"[a, b]"),
        (b"[a, timmy, ]", b"[a, ]"),
        (b"[a, # one\n timmy]", b"[a, # one\n ]"),
        (b"[timmy, # one\n a]", b"[ # one\n a]"),
        (b"[timmy, a, timmy]", b"[a]"),
    ],
)
def test_a_name_goes_from_brackets_with_its_comma(before: bytes, after: bytes) -> None:
    assert disabling(b"plugins:\n  enabled: " + before, "timmy") == b"plugins:\n  enabled: " + after


def test_what_still_names_the_plugin_is_found() -> None:
    config = b"plugins:\n  disabled: [timmy]\n  entries:\n    timmy: {x: false}\n    b: {}\n"

    assert traces(config, "timmy") == ["plugins.disabled", "plugins.entries.timmy"]
    assert traces(b"", "timmy") == []


def test_disabling_what_is_not_there_changes_nothing() -> None:
    assert disabling(REAL, "timmy") == REAL
    assert disabling(b"", "timmy") == b""
