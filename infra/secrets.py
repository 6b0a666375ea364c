"""Secrets that other processes need, as files of the home that their owner alone may read: what travels is the path."""

from __future__ import annotations

import os
from pathlib import Path

from schemas.errors import SettingError
from schemas.masking import Secret
from schemas.wording import cause


def keep(home: Path, name: str, secret: Secret) -> Path:
    """Keep a secret in the home, in place of what was kept under the name.

    Raises:
        SettingError: The home cannot be written.
    """
    file = home / "secrets" / name
    fresh = file.with_name(f"{name}.{os.getpid()}")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
            stream.write(secret.reveal())
        fresh.replace(file)
    except OSError as fault:
        raise SettingError(f"{file}: cannot be written: {cause(fault)}; set TIDEMARK_HOME to a folder of yours") from None
    return file
