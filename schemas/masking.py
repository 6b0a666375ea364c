"""Secrets that URLs carry, kept out of what people and logs are told."""

from __future__ import annotations

import re

_SCHEME = re.compile(r"[A-Za-z]+://")
_PASSWORD = re.compile(r"(password=)[^&]*", re.IGNORECASE)


def masked(text: str) -> str:
    """A URL, or what was given for one, with `***` for all between its scheme and its last `@`, and for the value of every `…password=`.

    It need not be a URL: a secret is most likely to be told where something is wrong with it.
    """
    scheme = found[0] if (found := _SCHEME.match(text)) else ""
    rest = text.removeprefix(scheme)
    if "@" in rest:
        rest = f"***@{rest.rpartition('@')[2]}"
    return scheme + _PASSWORD.sub(r"\1***", rest)


class Secret:
    """A text that nobody is shown: not by `str`, `repr` or a format, not in a traceback's values, and not in a pickle, which is refused."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        """Keep a text."""
        self._text = text

    def reveal(self) -> str:
        """The text itself, for the one place that needs it."""
        return self._text

    def __repr__(self) -> str:
        """The same for all."""
        return "***"

    def __eq__(self, other: object) -> bool:
        """Whether it is the same text."""
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        """As equality asks for."""
        return hash((Secret, self._text))

    def __reduce__(self) -> str:
        """Raises TypeError: what is pickled travels into job graphs and checkpoints; hand on a path to it."""
        raise TypeError("a secret is not pickled; hand on the path of a file that holds it")
