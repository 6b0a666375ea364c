"""What is done once in each of Spark's Python workers, before the work. Imports neither Spark nor a command."""

from __future__ import annotations

import sys

import pyarrow as pa


def spare_pandas() -> None:
    """Have pyarrow do without pandas in a Python worker, where nothing needs it.

    With the first array that it makes, pyarrow tries to import pandas, in case what it is given is a Series: a second of computing in each worker.
    It tries once. Whoever imports pandas later, pyarrow's `to_pandas` too, still can.
    """
    if "pyspark.worker" not in sys.modules or "pandas" in sys.modules:
        return
    sys.modules["pandas"] = None  # type: ignore[assignment]  # "cannot be imported"
    try:
        pa.array([])
    finally:
        del sys.modules["pandas"]
