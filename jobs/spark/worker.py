"""What is done once in each of Spark's Python workers, before the work. Imports neither Spark nor a command."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec

import pyarrow as pa


def block_pandas() -> None:
    """Have pyarrow do without pandas in a Python worker, where nothing needs it.

    With the first array that it makes, pyarrow tries to import pandas, in case what it is given is a Series: a second of computing in each worker.
    It tries once. Whoever imports pandas later, pyarrow's `to_pandas` too, still can.
    """
    if "pyspark.worker" not in sys.modules or "pandas" in sys.modules:
        return
    blind = _Blind()  # a None in sys.modules, which Python takes for "not there", pyarrow's compiled import takes for the module
    sys.meta_path.insert(0, blind)
    try:
        pa.array([])
    finally:
        sys.meta_path.remove(blind)


class _Blind:
    """Finds no pandas."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Refuse pandas; leave all else to others."""
        if name == "pandas":
            raise ModuleNotFoundError(name)
        return None
