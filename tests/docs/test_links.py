"""Links lead to files and headings that are there, README leads to every page, and each page says what it holds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import Page, all_pages
from tests.docs.runner import ROOT

PAGES = {page.name: page for page in all_pages(ROOT)}
_LINK = re.compile(r"(?<!`)\[[^\]]*\]\(([^)\s]+)\)")
_FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)


def links(text: str) -> list[str]:
    """Where the links of a page lead, those outside the checkout left out."""
    return [link for link in _LINK.findall(_FENCED.sub("", text)) if not re.match(r"[a-z]+:", link)]


def anchors(text: str) -> set[str]:
    """The fragments that GitHub gives the headings."""
    headings = re.findall(r"^#+ (.+)$", _FENCED.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def target(page: str, link: str) -> tuple[Path, str]:
    """The file that a link on a page leads to, and the fragment."""
    path, _, fragment = link.partition("#")
    return ((ROOT / page).parent / path if path else ROOT / page).resolve(), fragment


def wrong_links(page: Page) -> list[str]:
    found = []
    for link in links(page.text):
        file, fragment = target(page.name, link)
        if not file.exists() or (fragment and fragment not in anchors(file.read_text(encoding="utf-8"))):
            found.append(link)
    return found


@pytest.mark.parametrize("name", PAGES)
def test_every_link_leads_to_a_file_and_a_heading_that_are_there(name: str):
    assert wrong_links(PAGES[name]) == []


def test_readme_links_to_every_page():
    mapped = {target("README.md", link)[0] for link in links(PAGES["README.md"].text)}
    assert [name for name in PAGES if name != "README.md" and (ROOT / name).resolve() not in mapped] == []


def test_a_link_to_nowhere_is_found():
    page = Page("docs/page.md", "[a](model.md#limits) [b](model.md#nothing) [c](nothing.md) [d](https://x.org)", (), ())
    assert wrong_links(page) == ["model.md#nothing", "nothing.md"]


@pytest.mark.parametrize("name", [name for name in PAGES if name != "README.md"])
def test_a_page_begins_with_a_paragraph_that_says_what_is_on_it(name: str):
    title, first = PAGES[name].text.split("\n\n")[:2]
    assert title.startswith("# ")
    assert first[0].isalpha() or first[0] == "`"
    assert len(first.split()) >= 10
