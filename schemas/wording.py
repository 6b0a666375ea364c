"""How people are told what machines measure: durations, moments beside now, places on disk, and what other software said of a fault."""

from __future__ import annotations

import os
import re
from pathlib import Path

_LONGEST = 1_000  # of a sentence: some have a whole query in them

_FRAME = re.compile(r"at [\w.$/<>]+\(")  # of a stack trace of Java's

_UNITS = (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000), ("ms", 1))


def quantity(count: int, thing: str) -> str:
    """How many of what: `1 record`, `1,234 records`."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def span(duration_ms: float) -> str:
    """How long, in the two largest units that it has, cut: `34 s`, `1 d 3 h`, `250 ms`; with a minus where it is negative."""
    rest = abs(round(duration_ms))
    parts: list[str] = []
    for unit, size in _UNITS:
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count} {unit}")
        if (parts and not count) or len(parts) == 2:
            break  # what comes after a unit that it lacks is too fine beside it
    return ("-" if duration_ms < 0 and parts else "") + (" ".join(parts) or "0 s")


def beside(what: str, distance_ms: float) -> str:
    """Where a moment lies beside another: `34 s ahead of now`, `1 d 3 h behind now`.

    Args:
        what: The other: now, the clock.
        distance_ms: The moment less the other.
    """
    distance_ms = round(distance_ms)
    return f"{span(abs(distance_ms))} {'ahead of' if distance_ms >= 0 else 'behind'} {what}"


def near(text: str, folder: Path | None = None) -> str:
    """A message whose paths inside a folder begin there, as its reader would write them; other paths and URLs stay.

    Args:
        text: The message.
        folder: Where the reader is; the working directory when None.
    """
    try:
        inside = f"{Path.cwd() if folder is None else folder}{os.sep}"
    except FileNotFoundError:  # somebody has removed the working directory
        return text
    if inside == os.sep * 2:
        return text
    return re.sub(rf"(?<![\w./:~-]){re.escape(inside)}(?=[^\s/])", "", text)


def cause(error: BaseException) -> str:
    """What an error of other software says, in one line: an operating system's reason alone, else its first sentence, whole.

    Never cut within a sentence, never empty: of an error without words the name of its class.
    """
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return sentence(str(error)) or type(error).__name__


def sentence(text: str) -> str:
    """The first sentence of a text, whole and in one line; empty where there is none.

    Only one of more than a thousand characters is cut, behind a word. It goes on over the ends of lines that end in a colon or a comma, and over those that go on in lower case.
    """
    lines = [" ".join(line.split()) for line in text.splitlines()]
    found = ""
    for line in filter(None, lines):
        if found and (_FRAME.match(line) or (found[-1] not in ":,(" and (found[-1] in ".!?" or not line[0].islower()))):
            break
        found = f"{found} {line}".strip()
    ended = re.match(r".*?[^.\s][.!?](?=\s+[A-Z\"'])", found)
    whole = (ended[0] if ended else found).removesuffix(".")
    return whole if len(whole) <= _LONGEST else f"{whole[:_LONGEST].rpartition(' ')[0] or whole[:_LONGEST]} …"
