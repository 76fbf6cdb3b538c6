"""PURE: pieces of the page: names made harmless and escaped, sections, tables, tags."""

from collections.abc import Iterable
from html import escape

from timmyd.report import charts, words


def named(text: object, longest: int = 40) -> str:
    """A name from a session, in the type of names."""
    return f'<span class="name">{escape(words.name(text, longest))}</span>'


def said(text: object, longest: int = 300) -> str:
    """A sentence that may hold such names."""
    return escape(words.name(text, longest))


def section(title: str, body: str) -> str:
    """A part of the page under its heading."""
    return f"<section><h2>{title}</h2>{body}</section>"


def table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Headings that begin with `>` are of numbers; cells are HTML already."""
    heads = list(headings)
    numeric = [head.startswith(">") for head in heads]

    def line(tag: str, cells: Iterable[str]) -> str:
        return "<tr>" + "".join(
            f'<{tag} class="n">{cell}</{tag}>' if right else f"<{tag}>{cell}</{tag}>"
            for right, cell in zip(numeric, cells, strict=True)
        ) + "</tr>"  # fmt: skip

    head = line("th", (head.removeprefix(">") for head in heads))
    return f"<table><thead>{head}</thead><tbody>{''.join(line('td', row) for row in rows)}</tbody></table>"


def rate(rate: float | None) -> str:
    """A rate in the colour of its grade."""
    return f'<span class="rate {charts.grade(rate)}">{escape(words.percent(rate))}</span>'


def values(old: object, new: object) -> str:
    """A change of a value, kept on one line."""
    return f'<span class="one">{escape(words.number(old))} to {escape(words.number(new))}</span>'


def interval(bounds: tuple[float, float] | None) -> str:
    """An interval, kept on one line."""
    return f'<span class="soft one">{words.interval(bounds)}</span>'


def tag(text: str, kind: str) -> str:
    """A word in a pill."""
    return f'<span class="tag {kind}">{escape(text)}</span>'
