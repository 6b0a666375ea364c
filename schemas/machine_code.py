"""Functions that numba compiles to machine code, and the folder that keeps what it made of them for the next process.

Compiling takes seconds, and importing numba one: a module with such functions is imported by whoever is about to call them.
"""

from __future__ import annotations

import builtins
import hashlib
import logging
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from schemas.wording import cause

F = TypeVar("F", bound=Callable[..., Any])


class _Kept:
    folder: Path | None = None


def keep_in(folder: Path | None) -> None:
    """Say where machine code is kept, of what is declared from now on; None leaves that as it was said, at first nowhere. Who may write there says what runs."""
    _Kept.folder = folder or _Kept.folder


def compiled(signature: str | None = None) -> Callable[[F], F]:
    """A function as machine code, which runs without the interpreter's lock: compiled at once for a signature, else for those who call it.

    Floats are IEEE's in the order that is written; no index is checked; a division by zero is infinite.
    """

    def declare(function: F) -> F:
        numba = load_numba()
        given = () if signature is None else (signature,)
        with _kept(function) as cached:
            made: F = numba.njit(*given, cache=cached, nogil=True, error_model="numpy", boundscheck=False, fastmath=False)(function)
        return made

    return declare


def load_numba() -> Any:
    """numba, whose import asks for a `print` that is where it says it is: PyFlink's workers have a bound method in its place (numba 0.61, PyFlink 2.3)."""
    theirs = builtins.print
    if getattr(sys.modules.get(theirs.__module__), theirs.__name__, None) is theirs:
        import numba
    else:
        builtins.print = _print
        try:
            import numba
        finally:
            builtins.print = theirs
    return numba


def _print(*values: object, **options: Any) -> None:
    """Python's own, for whoever prints meanwhile."""
    sys.stdout.write(" ".join(map(str, values)) + "\n")


@contextmanager
def _kept(function: Callable[..., Any]) -> Iterator[bool]:
    """Whether a function that is declared meanwhile is kept; numba reads where in its configuration, which is others' as well."""
    config = load_numba().config
    source = Path(function.__code__.co_filename)
    if (
        _Kept.folder is None or not source.is_file() or not _is_writable(_Kept.folder)
    ):  # numba would look for another place; none is there in a zip
        yield False
        return
    before, config.CACHE_DIR = config.CACHE_DIR, str(_Kept.folder / _version(source, function.__globals__))
    try:
        yield True
    finally:
        config.CACHE_DIR = before


def _version(source: Path, names: Mapping[str, Any]) -> str:
    """Of what a function is compiled from: its module and those of the functions that it calls, and the numbers that they import.

    numba itself knows the file of a function by its time and size, and of what that imports nothing.
    """
    numbers = sorted((name, value) for name, value in names.items() if isinstance(value, (int, float)) and not name.startswith("__"))
    called = [
        getattr(value, "py_func", getattr(value, "_defn", None)) for _, value in sorted(names.items())
    ]  # numba's functions and intrinsics
    others = {Path(each.__code__.co_filename): each.__globals__ for each in called if each is not None}
    versions = [_version(other, theirs) for other, theirs in others.items() if other != source]
    return hashlib.sha256(source.read_bytes() + repr((numbers, versions)).encode()).hexdigest()[:16]


@cache
def _is_writable(folder: Path) -> bool:
    """Whether machine code can be kept there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError as fault:
        logging.getLogger("tidemark").warning("%s: machine code cannot be kept, each process compiles it anew: %s", folder, cause(fault))
        return False
