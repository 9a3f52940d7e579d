"""The description as a page: whole, readable, and with nothing that a strict policy would have to let through."""

import re
from html.parser import HTMLParser

import httpx2
import pytest

from tests.api.as_described import all_said, description
from wicket.api.docs import render_docs
from wicket.core.codes import CODES

VOID = {"meta", "link"}
PAIRS = [
    *((ink, "ground") for ink in ("ink", "soft", "link", "get", "post", "put", "delete")),
    *((ink, "raised") for ink in ("ink", "soft", "link", "get", "post", "put", "delete")),
]
CONTRAST_MIN = 4.5
"""Of text that is not large: WCAG 2.2, 1.4.3."""


class Page(HTMLParser):
    """What a page refers to; raises AssertionError where a tag is not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.attributes: set[str] = set()
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            self.attributes.add(name)
            if name == "id":
                self.ids.append(value or "")
            if name in {"href", "src"}:
                self.links.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, self.getpos()


@pytest.fixture
async def answer(anonymous: httpx2.AsyncClient) -> httpx2.Response:
    return await anonymous.get("/api/docs")


@pytest.fixture
def page(answer: httpx2.Response) -> Page:
    read = Page()
    read.feed(answer.text)
    assert read.open == []
    return read


async def test_anybody_reads_the_page_under_a_strict_policy(answer: httpx2.Response, page: Page) -> None:
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"].split("; ")
    assert policy[:2] == ["default-src 'none'", "style-src 'self'"]
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert not page.tags & {"script", "style", "iframe", "img", "form", "object"}
    assert not [name for name in page.attributes if name == "style" or name.startswith("on")]


async def test_the_page_leads_nowhere_else_and_to_everything_on_it(page: Page) -> None:
    outward = {link for link in page.links if not link.startswith("#")}
    assert outward == {"/api/docs.css", "/api/openapi.json"}
    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    assert {said.name for said in all_said()} <= set(page.ids)
    assert {f"code-{name}" for name in CODES} <= set(page.ids)


def test_words_of_ours_are_shown_as_text() -> None:
    written = {**description(), "info": {"version": "1", "description": "<script>alert(`1 < 2`)</script>"}}
    shown = render_docs(written)
    assert "<script" not in shown
    assert "alert(<code>1 &lt; 2</code>)" in shown


async def test_its_colours_can_be_read_in_light_and_dark(anonymous: httpx2.AsyncClient) -> None:
    answer = await anonymous.get("/api/docs.css")
    assert answer.headers["content-type"] == "text/css; charset=utf-8"
    themes = re.findall(r":root \{(.*?)\}", answer.text, re.DOTALL)
    assert len(themes) == 2
    for theme in themes:
        colours = dict(re.findall(r"--(\w+): #(\w{6})", theme))
        low = {pair for pair in PAIRS if contrast(colours[pair[0]], colours[pair[1]]) < CONTRAST_MIN}
        assert low == set()


def contrast(one: str, other: str) -> float:
    """The ratio of WCAG 2.2."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    parts = (int(colour[place : place + 2], 16) / 255 for place in (0, 2, 4))
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
