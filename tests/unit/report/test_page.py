"""The report as a page: complete, harmless, and the same in a real browser."""

import re
import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from tests.unit.report.conftest import busy_input
from timmyd.report.data import ReportInput, build
from timmyd.report.page import POLICY, render

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
VOID = {"br", "meta"}


class Outline(HTMLParser):
    """The elements of a page with the names of their attributes, and whether they nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, tuple[str, ...]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(name for name, _ in attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(name for name, _ in attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_it_loads_and_runs_nothing(busy: Callable[..., ReportInput]) -> None:
    text = render(build(busy()))

    assert f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">' in text
    assert POLICY.startswith("default-src 'none'; style-src 'unsafe-inline'")
    assert not re.search(r"<script|<link|<img|<iframe|<object|<a\b|\bon\w+=|javascript:", text)
    assert not re.search(r"(src|href|url|@import)\s*[=(:]", text)


def test_every_section_is_there(busy: Callable[..., ReportInput]) -> None:
    said = " ".join(Outline(render(build(busy()))).words)

    for words in (
        "policy revision 17 (enforce)", "Houses", "Changes", "Learning", "Tools", "Models",
        "Policies", "Taken in", "no data yet", "18 of 20", "chosen", "pinned", "0.8 to 0.7",
        "21 % better than the running mean", "state_db 64", "Intervals: Wilson",
    ):  # fmt: skip
        assert words in said, words


def test_elements_are_closed_in_order(busy: Callable[..., ReportInput], empty: ReportInput) -> None:
    for report in (build(busy()), build(empty), build(ReportInput(at=0.0))):
        assert Outline(render(report)).open == []


def test_without_data_it_says_so(empty: ReportInput) -> None:
    said = " ".join(Outline(render(build(empty))).words)

    assert "no data yet" in said
    assert "too early" in said
    assert "Nothing needs attention." in said
    assert "50 %" not in said


@given(st.text(st.characters(), min_size=1, max_size=30))
def test_no_name_can_add_an_element_or_an_attribute(name: str) -> None:
    hostile = Outline(render(build(busy_input(name))))

    assert sorted(hostile.elements) == sorted(Outline(render(build(busy_input("x")))).elements)
    render(build(busy_input(name))).encode()


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", '"><svg onload=x>', "&lt;b&gt;", "]]>"]
)
def test_markup_in_a_name_is_shown_as_text(name: str) -> None:
    outline = Outline(render(build(busy_input(name))))

    assert outline.words.count(name) >= 3
    assert "script" not in {tag for tag, _ in outline.elements}


def browse(page: Path, shot: Path, *, dark: bool = False) -> str:
    """Open a page in a real browser, take its picture, and return what it complained about."""
    assert BROWSER is not None
    done = subprocess.run(
        [
            BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            "--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND",
            "--enable-logging=stderr", f"--user-data-dir={page.parent / 'profile'}",
            "--window-size=1000,700", "--hide-scrollbars", f"--screenshot={shot}",
            *(["--blink-settings=preferredColorScheme=0"] if dark else []), page.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


def colours(png: bytes) -> tuple[int, int, set[bytes]]:
    """Width, height and the colours of a PNG as browsers write it, a sample of its lines."""
    width, height, depth, kind = struct.unpack(">IIBB", png[16:26])
    assert depth == 8
    step = {2: 3, 6: 4}[kind]
    data, at = b"", 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        if png[at + 4 : at + 8] == b"IDAT":
            data += png[at + 8 : at + 8 + length]
        at += length + 12
    raw = zlib.decompress(data)
    stride = width * step
    found: set[bytes] = set()
    above = bytearray(stride)
    for line in range(height):
        start = line * (stride + 1)
        now = unfiltered(raw[start], bytearray(raw[start + 1 : start + 1 + stride]), above, step)
        if line % 8 == 0:
            found.update(bytes(now[x : x + 3]) for x in range(0, stride, step))
        above = now
    return width, height, found


def unfiltered(kind: int, line: bytearray, above: bytearray, step: int) -> bytearray:
    """Undo a PNG line filter (ISO/IEC 15948, clause 9)."""
    if kind == 0:
        return line
    for x in range(len(line)):
        left = line[x - step] if x >= step else 0
        up = above[x]
        corner = above[x - step] if x >= step else 0
        guess = left + up - corner
        nearest = min(
            (abs(guess - left), 0, left), (abs(guess - up), 1, up), (abs(guess - corner), 2, corner)
        )
        line[x] = (line[x] + (0, left, up, (left + up) // 2, nearest[2])[kind]) & 0xFF
    return line


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine")
def test_a_real_browser_draws_it_in_its_colours_without_complaint(
    tmp_path: Path, busy: Callable[..., ReportInput]
) -> None:
    page = tmp_path / "report.html"
    page.write_text(render(build(busy("<script>document.body.remove()</script>"))))

    complaints = browse(page, tmp_path / "shot.png")

    width, height, found = colours((tmp_path / "shot.png").read_bytes())
    assert complaints == ""
    assert (width, height) == (1000, 700)
    for colour in ("fbfaf7", "ffffff", "2e7d5b", "b5443c"):  # paper, card, good, poor
        assert bytes.fromhex(colour) in found


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine")
def test_a_browser_in_the_dark_draws_it_dark(
    tmp_path: Path, busy: Callable[..., ReportInput]
) -> None:
    page = tmp_path / "report.html"
    page.write_text(render(build(busy())))

    browse(page, tmp_path / "shot.png", dark=True)

    found = colours((tmp_path / "shot.png").read_bytes())[2]
    assert bytes.fromhex("15181b") in found
    assert bytes.fromhex("fbfaf7") not in found


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine")
def test_the_pages_own_policy_stops_a_script_that_got_in(
    tmp_path: Path, busy: Callable[..., ReportInput]
) -> None:
    page = tmp_path / "report.html"
    text = render(build(busy()))
    page.write_text(text.replace("</main>", "</main><script>document.body.remove()</script>"))

    complaints = browse(page, tmp_path / "shot.png")

    assert "Content Security Policy" in complaints
    assert bytes.fromhex("ffffff") in colours((tmp_path / "shot.png").read_bytes())[2]
