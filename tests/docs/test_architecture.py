"""The page of the architecture lists the rooms that there are, in the words of their own headers."""

from __future__ import annotations

import ast
import os
import re

from tests.docs.pages import ROOT

PAGE = ROOT / "docs" / "contributing" / "architecture.md"
PACKAGES = ("schemas", "features", "inference", "jobs", "infra")
_ROOMS = re.compile(r"(<!-- rooms: [^\n]*-->\n).*?(<!-- /rooms -->)", re.DOTALL)


def rooms() -> str:
    """A table of every package that holds Python, below those that are shipped."""
    rows = ["| Room | What it is |", "|---|---|"]
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("__init__.py")):
            said = (ast.get_docstring(ast.parse(file.read_text())) or "").splitlines()
            assert said, f"{file} does not say what it is"
            rows.append(f"| `{file.parent.relative_to(ROOT)}/` | {said[0]} |")
    return "\n".join(rows) + "\n"


def test_the_page_lists_the_rooms() -> None:
    text = PAGE.read_text()
    expected = _ROOMS.sub(lambda found: found[1] + rooms() + found[2], text)
    if os.environ.get("UPDATE_GOLDEN") == "1":
        PAGE.write_text(expected)
        text = expected
    assert "<!-- /rooms -->" in text
    assert text == expected, "if that is meant, UPDATE_GOLDEN=1 rewrites it"
