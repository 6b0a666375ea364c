"""Secrets, by themselves or in URLs: kept out of what people and logs are told, and in files where they are handed on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Self

from schemas.errors import SettingError
from schemas.wording import cause

FILE = "file:"
"""Begins an address that is in a file, and is followed by its path."""
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


def revealed(address: str, setting: str) -> str:
    """An address as it was given; what the file holds of one that is in a file.

    Args:
        address: Any, or `file:` and a path.
        setting: That it was given by, for the message.

    Raises:
        SettingError: The file cannot be read, or is empty.
    """
    return Secret.of_file(Path(address.removeprefix(FILE)), setting).reveal() if address.startswith(FILE) else address


class Secret:
    """A text that nobody is shown: not by `str`, `repr` or a format, not in a traceback's values, and not in a pickle, which is refused."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        """Keep a text."""
        self._text = text

    @classmethod
    def of_file(cls, file: Path, setting: str) -> Self:
        """What a file holds, without the end of its last line.

        Args:
            file: Which.
            setting: That names it, for the message.

        Raises:
            SettingError: It cannot be read, or is empty.
        """
        try:
            text = file.read_text().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as fault:
            raise SettingError(f"{setting}: {file} cannot be read: {cause(fault)}") from None
        if not text:
            raise SettingError(f"{setting}: {file} is empty")
        return cls(text)

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
