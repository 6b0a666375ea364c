"""The one page of every report: style, header, footer, and what the pointer shows; nothing is loaded from anywhere."""

from __future__ import annotations

from html import escape
from importlib.resources import files
from string import Template


def render(*, title: str, lead: str, body: str, footer: str) -> str:
    """The whole page.

    Args:
        title: As text.
        lead: One or two sentences under it, as text.
        body: HTML: tiles and sections.
        footer: HTML.
    """
    template = Template(files("jobs.report").joinpath("page.html").read_text(encoding="utf-8"))
    return template.substitute(title=escape(title), lead=escape(lead), body=body, footer=footer)


def tiles(*each: tuple[str, str, str, str]) -> str:
    """Figures in boxes: what, value, a line below, and a class for the value (`ok`, `wrong` or none); text, not HTML."""
    boxes = (
        f'<div class="tile"><div class="what">{escape(what)}</div><div class="value {style}">{escape(value)}</div>'
        f'<div class="than">{escape(than)}</div></div>'
        for what, value, than, style in each
    )
    return f'<div class="tiles">{"".join(boxes)}</div>'


def percent(share: float) -> str:
    """A share that never rounds up to 100 %."""
    return "100 %" if share == 1.0 else f"{min(share, 0.9999):.2%}".replace("%", " %")
