"""Every setting: its name, default and meaning, as `infra.settings` declares them."""

from __future__ import annotations

from dataclasses import fields

from infra.settings import Settings
from tests.docs.reference.table import table

HEAD = """# Settings

Environment over `tidemark.toml` (the same names in lower case without the prefix) over defaults. Durations are written `500ms`, `90s`, `5m`, `36h`, `1d`,
sizes `1048576` or `1MB`. A value that is wrong, and a name that resembles a setting but is none, is refused by every command, all of them together.

"""


def page() -> str:
    """The page."""
    defaults = Settings().environment()
    return HEAD + table(
        ("Setting", "Default", "What it is"),
        (
            (f"`{name}`", f"`{_shown(defaults[name])}`" if name in defaults else "", item.metadata["doc"])
            for item in fields(Settings)
            for name in [f"TIDEMARK_{item.name.removesuffix('_ms').removesuffix('_bytes').upper()}"]
        ),
    )


def _shown(value: str) -> str:
    """A duration in the largest unit that fits."""
    if not value.endswith("ms"):
        return value
    milliseconds = int(value.removesuffix("ms"))
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)):
        if milliseconds and milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return value
