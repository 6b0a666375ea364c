"""The command line, called as `tidemark` calls it but in this process, which has imported all that it needs."""

from __future__ import annotations

import io
import os
from contextlib import redirect_stderr, redirect_stdout
from unittest.mock import patch

from infra.settings import Settings
from jobs.cli.main import main


def tidemark(settings: Settings, *arguments: str, code: int | None = 0) -> str:
    """Run a command with these settings; returns what it said on either stream. Its exit code is another's affair where None is expected."""
    said = io.StringIO()
    with patch.dict(os.environ, settings.environment()), redirect_stdout(said), redirect_stderr(said):
        ended = main(arguments)
    assert code is None or ended == code, said.getvalue()
    return said.getvalue()
