"""A Hermes `config.yaml` as far as its plugins go: read with certainty, or refused."""

from typing import Any, Final, NoReturn

from timmyd.errors import TimmyError
from timmyd.service.yaml_outline import Node, OutlineError, outline

PLUGINS: Final = "plugins"
ENABLED: Final = "enabled"
DISABLED: Final = "disabled"
_MERGE: Final = "<<"
_LARGEST_BYTES: Final = 4 * 1024 * 1024
_BY_HAND: Final = (
    "run it again with --leave-config, then: hermes plugins enable timmy (or add `timmy` to "
    "the list `plugins.enabled` yourself)"
)


class ConfigLayoutError(TimmyError):
    """A `config.yaml` is beyond a careful edit; the user must do it.

    Attributes:
        sentence: Where and what, without the hint.
    """

    def __init__(self, line: int, found: str, hint: str = _BY_HAND) -> None:
        self.sentence = f"config.yaml line {line}: {found}" if line else f"config.yaml: {found}"
        super().__init__(f"{self.sentence}\n  hint: {hint}")


class ConfigPage:
    """A config.yaml that was read with certainty.

    Attributes:
        text: All of it.
        root: Its outline.
        plugins: What stands below `plugins`.
        enabled: What stands below `plugins.enabled`; `names` are the names in it.
        disabled: What stands below `plugins.disabled`; `switched_off` are the names in it.

    Raises:
        ConfigLayoutError: It cannot be read with certainty.
    """

    def __init__(self, data: bytes) -> None:
        if len(data) > _LARGEST_BYTES:
            raise ConfigLayoutError(0, "is larger than any settings are")
        try:
            self.text = data.decode("utf-8")
            self.root = outline(self.text)
        except UnicodeDecodeError:
            raise ConfigLayoutError(0, "expected UTF-8 text") from None
        except OutlineError as error:
            raise ConfigLayoutError(error.line, error.found) from None
        self.plugins = self._child(self.root, PLUGINS)
        if self.plugins is not None and self.plugins.kind not in {"map", "nothing"}:
            self.refuse(self.plugins.start, f"expected `{PLUGINS}:` as a block of keys")
        self.enabled, self.disabled = (
            None if self.plugins is None else self._child(self.plugins, key)
            for key in (ENABLED, DISABLED)
        )
        self.names = self._names(self.enabled, ENABLED)
        self.switched_off = self._names(self.disabled, DISABLED)

    def refuse(self, at: int, found: str) -> NoReturn:
        """Name the line around an offset in a refusal."""
        raise ConfigLayoutError(self.text.count("\n", 0, at) + 1, found)

    def _child(self, parent: Node, name: str) -> Node | None:
        """The value of a key that stands there by itself: once, not merged, not shared."""
        for pair in parent.pairs:
            if pair.key is None:
                self.refuse(pair.at, "found a key that is written with escapes")
        found = [pair for pair in parent.pairs if pair.key == name]
        if len(found) > 1:
            self.refuse(found[1].at, f"found `{name}` twice")
        if not found and any(pair.key == _MERGE for pair in parent.pairs):
            self.refuse(parent.start, f"found `{_MERGE}:`, which may bring `{name}` from elsewhere")
        if not found:
            return None
        node = found[0].node
        if node.mark or node.kind == "alias":
            self.refuse(found[0].at, f"found `{name}` with an anchor, an alias or a tag")
        return node

    def _names(self, node: Node | None, which: str) -> list[str]:
        if node is None or node.kind == "nothing":
            return []
        if node.kind != "list":
            self.refuse(node.start, f"expected `{which}:` as a list")
        names = [item.name or "" for item in node.items]
        if "" in names:
            self.refuse(
                node.items[names.index("")].start, f"expected plain names in the list `{which}`"
            )
        return names

    @property
    def newline(self) -> str:
        """How its lines end."""
        at = self.text.find("\n")
        return "\r\n" if self.text[max(at - 1, 0) : at] == "\r" else "\n"

    def line(self, at: int) -> tuple[int, int]:
        """Where the line around an offset begins, and where the next one does."""
        start = self.text.rfind("\n", 0, at) + 1
        if start == 0 and self.text.startswith("\ufeff"):
            start = 1
        return start, self.text.find("\n", at) + 1 or len(self.text)

    def pad(self, at: int) -> str:
        """As many spaces as stand before an offset in its line."""
        return " " * (at - self.line(at)[0])

    def below(self, at: int, *lines: str) -> tuple[int, str]:
        """The insertion of lines below the line around an offset."""
        end = self.line(at)[1]
        text = self.newline.join(lines)
        ended = self.text[:end] in {"", "\ufeff"} or self.text.endswith("\n", 0, end)
        return end, text + self.newline if ended else self.newline + text


def others(page: ConfigPage, name: str) -> Any:
    """What a file says without the plugin; empty lists and keys around it count as absent."""
    top = dict(said(page.root) or {})
    plugins = dict(top.pop(PLUGINS, None) or {})
    enabled = [one for one in plugins.pop(ENABLED, None) or [] if one[1].strip("\"'") != name]
    if enabled:
        plugins[ENABLED] = enabled
    return {**top, PLUGINS: plugins} if plugins else top


def said(node: Node) -> Any:
    """What a node says, to compare: a text as it is written, with its mark; keys in any order."""
    if node.kind == "map":
        found: Any = {}
        for pair in node.pairs:
            key = "\\" if pair.key is None else pair.key
            while key in found:
                key += "\\"
            found[key] = said(pair.node)
    elif node.kind == "list":
        found = [said(item) for item in node.items]
    else:
        return None if node.kind == "nothing" and not node.mark else (node.mark, node.text)
    return (node.mark, found) if node.mark else found
