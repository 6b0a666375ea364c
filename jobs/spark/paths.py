"""Paths as Spark's readers and writers take them."""

from __future__ import annotations

import re
from pathlib import Path


def to_write(path: Path) -> str:
    """A path as Spark's writers take it, with its scheme: on a cluster, one without may be HDFS's."""
    return f"file://{path.absolute()}"


def to_read(path: Path) -> str:
    """As `to_write`, for Spark's readers, which take `run[1]` and `{a}` for patterns."""
    return re.sub(r"[\\*?{}\[\]]", r"\\\g<0>", to_write(path))
