"""Folders that jobs write: whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from schemas.errors import SettingError


@contextmanager
def written_whole(out: Path, *, mark: str, replace: bool) -> Iterator[Path]:
    """A folder beside `out` that takes its place when the block ends well, and vanishes otherwise.

    Args:
        out: The folder that will be there in the end; its parents are made.
        mark: A file in every folder of this kind. One without it is somebody else's and never replaced.
        replace: Whether a folder of this kind may be replaced.

    Raises:
        SettingError: The folder is there and may not be replaced, or it cannot be written.
    """
    out = out.absolute()
    scratch, old = out.with_name(f".{out.name}.writing"), out.with_name(f".{out.name}.replaced")
    try:
        if out.exists() and not (out.is_dir() and not any(out.iterdir())):
            if not replace:
                raise SettingError(f"--out: {out} is already there; name another folder, or replace it with --overwrite")
            if not (out / mark).is_file():
                raise SettingError(
                    f"--out: {out} is not replaced: it has no {mark}, so it was not written by this command; name another folder"
                )
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
    except OSError as fault:
        raise SettingError(f"--out: {out} cannot be written: {fault.strerror or fault}") from None
    try:
        yield scratch
        if out.exists():
            shutil.rmtree(old, ignore_errors=True)
            out.rename(old)
        scratch.rename(out)
    except OSError as fault:
        raise SettingError(f"--out: {out} cannot be written: {fault.strerror or fault}") from fault
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
