"""A Python worker of Spark does without pandas; other processes, where pyarrow may need it, are left alone."""

from __future__ import annotations

import subprocess
import sys

import pytest

_SCRIPT = """
import sys, types
{worker}
import numpy as np, pyarrow as pa
from jobs.spark.worker import block_pandas
block_pandas()
block_pandas()
pa.array(np.zeros(1)), pa.scalar(1)
assert ("pandas" in sys.modules) is {loaded}, "loaded" if "pandas" in sys.modules else "not loaded"
import pandas
assert pandas.Series([1.0]).sum() == 1.0
assert pa.table({{"x": [1]}}).to_pandas()["x"].sum() == 1
"""


@pytest.mark.slow
@pytest.mark.parametrize(("worker", "loaded"), [('sys.modules["pyspark.worker"] = types.ModuleType("worker")', False), ("", True)])
def test_pandas_is_loaded_where_it_is_wanted_only(worker: str, loaded: bool) -> None:
    subprocess.run([sys.executable, "-c", _SCRIPT.format(worker=worker, loaded=loaded)], check=True)
