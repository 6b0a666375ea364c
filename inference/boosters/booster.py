"""A file of LightGBM's, checked before it is parsed.

A damaged one more often kills the process than it raises. So its sha256 is compared first, and it is loaded first in a child.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import lightgbm as lgb
from lightgbm import libpath

from inference.boosters import load_probe
from inference.boosters.scores import Shape
from schemas.errors import DataError, ServiceError, SettingError
from schemas.wording import cause, sentence, span

LOAD_DEADLINE_S = 60.0
"""For the child that loads a file first."""


def read(path: Path, sha256: str) -> bytes:
    """The bytes of a file, those that the manifest means.

    Raises:
        SettingError: It cannot be read.
        DataError: Its sha256 is another.
    """
    try:
        content = path.read_bytes()
    except OSError as fault:
        raise SettingError(f"{path}: cannot be read: {fault.strerror or fault}") from None
    digest = hashlib.sha256(content).hexdigest()
    if digest != sha256:
        raise DataError(f"{path}: damaged: its sha256 is {digest[:16]}…, the manifest says {sha256[:16]}…; restore it, or train again")
    return content


def parse(content: bytes, path: Path) -> lgb.Booster:
    """Parse bytes that `try_in_a_child` was content with.

    Raises:
        DataError: LightGBM refuses them.
    """
    try:
        return lgb.Booster(model_str=content.decode())
    except (ValueError, lgb.basic.LightGBMError) as fault:
        raise DataError(f"{path}: LightGBM cannot load it: {cause(fault)}") from None


def try_in_a_child(content: bytes, shape: Shape, path: Path, *, deadline_s: float = LOAD_DEADLINE_S) -> None:
    """Parse the bytes and score two rows in a fresh process, which may crash or hang as it likes.

    Raises:
        DataError: It did, or found a model of another shape, or one whose scores are not finite.
        ServiceError: It was killed from outside.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    library = libpath._LIB._name  # the very file that this process has loaded; there is no public name for it
    try:
        child = subprocess.run(
            [sys.executable, "-I", "-S", load_probe.__file__, library, str(shape.columns), str(shape.outputs)],
            input=content,
            capture_output=True,
            timeout=deadline_s,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise DataError(f"{path}: not loaded within {span(deadline_s * 1000)}; the file is damaged, or this machine too busy") from None
    if child.returncode == -signal.SIGKILL:
        raise ServiceError(f"{path}: the process that loads it first was killed from outside, as happens where memory is short; free some")
    if child.returncode:
        said = child.stderr.decode(errors="replace").strip().splitlines()
        raise DataError(f"{path}: LightGBM cannot load it (exit {child.returncode}): {sentence(said[-1]) if said else 'it said nothing'}")
