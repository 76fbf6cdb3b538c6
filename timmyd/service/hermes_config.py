"""Enable and disable one plugin in a Hermes `config.yaml` by changing nothing but its own lines.

The file is the user's: comments, order, quoting and line ends stay byte for byte. Every edit is
proven before it is given out: the file is read before and after, and must say the same but for
the one name. A layout that the reader does not fully understand is refused, never guessed at.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from timmyd.service.hermes_page import (
    DISABLED,
    ENABLED,
    PLUGINS,
    ConfigLayoutError,
    ConfigPage,
    others,
    said,
)
from timmyd.service.yaml_outline import Node

__all__ = [
    "ConfigLayoutError",
    "Edit",
    "Made",
    "disabling",
    "enabling",
    "is_enabled",
    "made_by",
    "traces",
    "undoing",
]

Made = Literal["plugins", "enabled", "item"]
"""What an edit made new: the key `plugins` and all below, the key `enabled`, or an item only."""


@dataclass(frozen=True, slots=True)
class Edit:
    """Text to insert, and where; its inverse gives back the same bytes.

    Attributes:
        offset: Bytes from the start of the file.
        text: What to insert there.
        made: What of it was not there before.
    """

    offset: int
    text: bytes
    made: Made

    def apply(self, data: bytes) -> bytes:
        """The file with the text in it."""
        return data[: self.offset] + self.text + data[self.offset :]


def made_by(text: str) -> Made:
    """What an edit made, told by its text; a record of 0.1 does not say it."""
    first = text.strip()
    return (
        "plugins"
        if first.startswith(PLUGINS)
        else "enabled"
        if first.startswith(ENABLED)
        else "item"
    )


def is_enabled(data: bytes, name: str) -> bool:
    """Whether `plugins.enabled` lists the plugin and `plugins.disabled` does not.

    Raises:
        ConfigLayoutError: The file cannot be read with certainty.
    """
    page = ConfigPage(data)
    return name in page.names and name not in page.switched_off


def enabling(data: bytes, name: str) -> Edit | None:
    """The edit that enables a plugin; None if it is enabled already.

    Raises:
        ConfigLayoutError: No careful edit is possible, or the user has disabled the plugin.
    """
    page = ConfigPage(data)
    if name in page.switched_off:
        found = f"`plugins.disabled` lists {name}, so Hermes would not load it"
        raise ConfigLayoutError(0, found, f"hermes plugins enable {name}; then run this again")
    if name in page.names:
        return None
    wanted = said(page.root) or {}
    plugins = wanted[PLUGINS] = dict(wanted.get(PLUGINS) or {})
    plugins[ENABLED] = [*(plugins.get(ENABLED) or []), ("", name)]
    for at, text, made in _insertions(page, name):
        edit = Edit(len(page.text[:at].encode()), text.encode(), made)
        after = _page(edit.apply(data))
        if after is not None and said(after.root) == wanted:
            return edit
    raise ConfigLayoutError(0, f"found no place where {name} can be added with certainty")


def disabling(data: bytes, name: str, made: Made = "item") -> bytes:
    """The file without the plugin: its items go, and of what was made for it what became empty.

    A list of the user's own that becomes empty stays, as `[]`.

    Args:
        data: The file, as it is now.
        name: The plugin.
        made: What was made when it was enabled.

    Raises:
        ConfigLayoutError: No careful edit is possible.
    """
    first = page = ConfigPage(data)
    while name in page.names:
        for text in _removals(page, name, made):
            after = _page(text.encode())
            if after is None or len(after.names) >= len(page.names):
                continue
            if name in after.names or others(after, name) == others(first, name):
                page = after
                break
        else:
            hint = f"take `{name}` out of the list `plugins.enabled` yourself"
            raise ConfigLayoutError(0, f"found no certain way to take {name} out", hint)
    return page.text.encode()


def undoing(data: bytes, edit: Edit, name: str) -> bytes:
    """The file as it was before the edit: to the byte, where nobody has changed the place since.

    Raises:
        ConfigLayoutError: No careful edit is possible.
    """
    page, end = ConfigPage(data), edit.offset + len(edit.text)
    if name in page.names and data[edit.offset : end] == edit.text:
        before = _page(data[: edit.offset] + data[end:])
        is_out = before is not None and name not in before.names
        if before and is_out and others(before, name) == others(page, name):
            return before.text.encode()
    return disabling(data, name, edit.made)


def traces(data: bytes, name: str) -> list[str]:
    """Where a plugin is still named below `plugins`, such as `plugins.disabled`.

    Raises:
        ConfigLayoutError: The file cannot be read with certainty.
    """
    page = ConfigPage(data)
    lists = ((ENABLED, page.names), (DISABLED, page.switched_off))
    listed = [f"{PLUGINS}.{key}" for key, names in lists if name in names]
    return listed + [
        f"{PLUGINS}.{pair.key}.{name}"
        for pair in (page.plugins.pairs if page.plugins else ())
        if any(below.key == name for below in pair.node.pairs)
    ]


def _insertions(page: ConfigPage, name: str) -> Iterator[tuple[int, str, Made]]:
    """(offset, text, what it makes new) of what would enable the plugin, the best first."""
    plugins, enabled = page.plugins, page.enabled
    if plugins is None:
        lines = (f"{PLUGINS}:", f"  {ENABLED}:", f"    - {name}")
        yield *page.below(len(page.text), *lines), "plugins"
        for pair in (*page.root.pairs[-1:], *page.root.pairs[:1]):
            yield page.line(pair.at)[0], page.newline.join((*lines, "")), "plugins"
    elif plugins.text:  # a word for nothing becomes a comment
        yield plugins.start, f"{{{ENABLED}: [{name}]}} # ", "enabled"
    elif enabled is not None and enabled.text:
        yield enabled.start, f"[{name}] # ", "item"
    elif plugins.is_flow or (enabled is not None and enabled.is_flow):
        yield _into_brackets(plugins, enabled, name)
    else:
        yield _into_block(page, plugins, enabled, name)


def _into_brackets(plugins: Node, enabled: Node | None, name: str) -> tuple[int, str, Made]:
    if enabled is None:
        text = f"{ENABLED}: [{name}]" + (", " if plugins.pairs else "")
        return plugins.start + 1, text, "enabled"
    if not enabled.is_flow:
        return enabled.start, f" [{name}]", "item"
    if enabled.comma >= 0:
        return enabled.comma, f" {name}", "item"
    if enabled.items:
        return enabled.items[-1].end, f", {name}", "item"
    return enabled.start + 1, name, "item"


def _into_block(
    page: ConfigPage, plugins: Node, enabled: Node | None, name: str
) -> tuple[int, str, Made]:
    item = f"- {name}"
    if enabled is None:
        key = _key(page.root, PLUGINS)
        pad = page.pad(plugins.start) if plugins.pairs else page.pad(key) + "  "
        return *page.below(key, f"{pad}{ENABLED}:", f"{pad}  {item}"), "enabled"
    if enabled.items:
        return *page.below(enabled.items[-1].start, page.pad(enabled.start) + item), "item"
    key = _key(plugins, ENABLED)
    return *page.below(key, f"{page.pad(key)}  {item}"), "item"


def _removals(page: ConfigPage, name: str, made: Made) -> Iterator[str]:
    """The file without the first item of this name, in the best way first."""
    plugins, enabled = page.plugins, page.enabled
    if plugins is None or enabled is None:
        return
    number = page.names.index(name)
    item = enabled.items[number]
    cut = _cut_of_flow(page, enabled, number) if enabled.is_flow else page.line(item.start)
    if len(enabled.items) == 1 and not plugins.is_flow:
        key = _key(plugins, ENABLED)
        whole = [page.line(key)] if enabled.is_flow else [page.line(key), cut]
        if made == "plugins" and len(plugins.pairs) == 1:
            yield _without(page.text, [page.line(_key(page.root, PLUGINS)), *whole])
        if made != "item":
            yield _without(page.text, whole)
        if not enabled.is_flow:
            colon = page.text.index(":", key) + 1
            kept = _without(page.text, [cut])
            yield kept[:colon] + " []" + kept[colon:]
            return
    yield _without(page.text, [cut])


def _cut_of_flow(page: ConfigPage, enabled: Node, number: int) -> tuple[int, int]:
    """An item of a list in brackets with one of the commas around it; comments stay."""
    item, last = enabled.items[number], number == len(enabled.items) - 1
    if not last:
        following = enabled.items[number + 1].start
        has_note = "#" in page.text[item.end : following]
        return item.start, page.text.index(",", item.end) + 1 if has_note else following
    start = enabled.items[number - 1].end if number else item.start
    if "#" in page.text[start : item.start]:
        start = item.start
    return start, max(enabled.comma, item.end) if start == item.start else item.end


def _without(text: str, cuts: list[tuple[int, int]]) -> str:
    for start, end in sorted(cuts, reverse=True):
        text = text[:start] + text[end:]
    return text


def _key(parent: Node, name: str) -> int:
    """Where a key of a mapping stands."""
    return next(pair.at for pair in parent.pairs if pair.key == name)


def _page(data: bytes) -> ConfigPage | None:
    try:
        return ConfigPage(data)
    except ConfigLayoutError:
        return None
