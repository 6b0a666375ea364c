"""The child that parses a model file before the process that serves does: it may crash or hang, and nobody is hurt.

A script of the standard library alone, run by `inference.boosters.booster`: importing LightGBM's Python package costs over a second, mostly of pandas and SciPy,
and what can crash is in its C library: https://lightgbm.readthedocs.io/en/stable/C-API.html.
"""

from __future__ import annotations

import ctypes
import math
import sys

_FLOAT64, _ROW_MAJOR, _NORMAL, _FIRST_TREE, _ALL_TREES = 1, 1, 0, 0, -1
"""C_API_DTYPE_FLOAT64, is_row_major, C_API_PREDICT_NORMAL, start_iteration, num_iteration."""


class _Library:
    """LightGBM's C interface; what it refuses ends the process with its reason on stderr."""

    def __init__(self, path: str) -> None:
        self._library = ctypes.CDLL(path)
        self._library.LGBM_GetLastError.restype = ctypes.c_char_p

    def call(self, name: str, *arguments: object) -> None:
        if getattr(self._library, name)(*arguments):
            sys.exit(self._library.LGBM_GetLastError().decode(errors="replace"))


def check(library_path: str, columns: int, outputs: int, content: bytes) -> None:
    """Exit with a reason unless the model takes that many columns and gives so many finite scores to a row of zeros and to one of NaN."""
    library, booster, trees = _Library(library_path), ctypes.c_void_p(), ctypes.c_int()
    library.call("LGBM_BoosterLoadModelFromString", ctypes.c_char_p(content), ctypes.byref(trees), ctypes.byref(booster))
    found = ctypes.c_int()
    library.call("LGBM_BoosterGetNumFeature", booster, ctypes.byref(found))
    if found.value != columns:
        sys.exit(f"it has {found.value} features, the manifest {columns}")
    rows, size = 2, ctypes.c_int64()
    library.call("LGBM_BoosterCalcNumPredict", booster, rows, _NORMAL, _FIRST_TREE, _ALL_TREES, ctypes.byref(size))
    if size.value != rows * outputs:
        sys.exit(f"it gives {size.value // rows} scores a row, the manifest says {outputs}")
    matrix = (ctypes.c_double * (rows * columns))(*[0.0] * columns, *[math.nan] * columns)
    scores = (ctypes.c_double * (rows * outputs))()
    form = (_FLOAT64, ctypes.c_int32(rows), ctypes.c_int32(columns), _ROW_MAJOR, _NORMAL, _FIRST_TREE, _ALL_TREES)
    library.call("LGBM_BoosterPredictForMat", booster, matrix, *form, ctypes.c_char_p(b"num_threads=1"), ctypes.byref(size), scores)
    if size.value != rows * outputs or not all(map(math.isfinite, scores)):
        sys.exit("its scores are not finite")


if __name__ == "__main__":
    check(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.stdin.buffer.read())
