"""One exception tree; every message says where, what, and what is allowed.

TidemarkError
├── DefinitionError     a definition or schema that cannot mean anything
├── SettingError        a setting, argument or file that the user gave
├── ServiceError        a broker, store or cluster that does not answer
└── DataError           records or files whose content is refused
"""

from __future__ import annotations

from collections.abc import Sequence


class TidemarkError(Exception):
    """The root: `str()` of it is the one clear line that the user reads."""

    exit_code = 1


class DefinitionError(TidemarkError):
    """One or several faults in definitions, reported together, a line each."""

    exit_code = 2

    def __init__(self, problems: str | Sequence[str]) -> None:
        """Keep the problems; the message is one line for each."""
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))


class SettingError(TidemarkError):
    """A setting, argument, file or folder that the user gave cannot be used."""

    exit_code = 2


class ServiceError(TidemarkError):
    """A broker, store or cluster does not answer or refuses."""

    exit_code = 3


class DataError(TidemarkError):
    """Records or files whose content is refused."""

    exit_code = 4
