"""Which pages there are, and where they lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from tests.docs.reference import commands, errors, metrics, settings, topics

FOLDER = Path(__file__).parents[3] / "docs" / "reference"

PAGES: Mapping[str, Callable[[], str]] = {
    "settings.md": settings.page,
    "commands.md": commands.page,
    "topics.md": topics.page,
    "metrics.md": metrics.page,
    "errors.md": errors.page,
}
"""File name → what writes its text."""


def write() -> list[Path]:
    """Write every page; returns their paths."""
    written = []
    for name, text in PAGES.items():
        path = FOLDER / name
        path.write_text(text())
        written.append(path)
    return written
