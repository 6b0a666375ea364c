"""Every link between pages leads to a page that is there, and to a heading that it has."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, prose

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_PATH = re.compile(r"`((?:schemas|features|inference|jobs|infra|tests|benchmarks|reference|docs)/[\w./-]*)`")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def links(page: Path) -> Iterator[tuple[str, str]]:
    """Path and heading of the links to other files, and to places of the page itself."""
    for target in _LINK.findall(prose(page)):
        if "://" not in target:
            path, _, heading = target.partition("#")
            yield path, heading


def headings(page: Path) -> set[str]:
    """As they are linked to: GitHub's way and the site's, which agree on letters, digits, spaces and hyphens."""
    plain = (re.sub(r"[`*]", "", heading).lower() for heading in _HEADING.findall(prose(page)))
    return {re.sub(r"[^\w -]", "", heading).strip().replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for path, heading in links(page):
        target = (page.parent / path).resolve() if path else page
        assert target.is_file(), f"{page}: {path} is not there"
        assert not heading or heading in headings(target), f"{page}: {path} has no heading #{heading}"
        if page.is_relative_to(ROOT / "docs"):
            assert target.is_relative_to(ROOT / "docs"), f"{page}: {path} is no page of the site"


def test_a_heading_that_is_gone_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One, two\n\n```\n# no heading\n```\n\n[here](#one-two) [gone](other.md#three)\n")
    assert headings(page) == {"one-two"}
    assert list(links(page)) == [("", "one-two"), ("other.md", "three")]


def test_every_page_is_in_the_menu_and_in_the_index() -> None:
    site = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]
    menu = set(_paths(site["nav"]))
    pages = {str(page.relative_to(ROOT / "docs")) for page in PAGES[1:]}
    assert menu == pages
    index = {path for path, _ in links(ROOT / "docs" / "index.md")}
    assert index == pages - {"index.md"}
    assert {f"docs/{path}" for path in index} == {path for path, _ in links(ROOT / "README.md") if path.startswith("docs/")} | {
        "docs/limits.md"
    }


def _paths(menu: object) -> Iterator[str]:
    if isinstance(menu, str):
        yield menu
    elif isinstance(menu, dict):
        for below in menu.values():
            yield from _paths(below)
    elif isinstance(menu, list):
        for below in menu:
            yield from _paths(below)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_a_page_names_are_there(page: Path) -> None:
    """A process is named without its ending: `jobs/score`."""
    for path in _PATH.findall(page.read_text()):
        assert (ROOT / path).exists() or (ROOT / f"{path}.py").is_file(), f"{page}: {path} is not there"
