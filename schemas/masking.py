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
