"""Ways to ask a model of LightGBM's, each by one thread: what is made of its file once, how that is loaded, and how it is asked."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Ask = Callable[[Matrix], Matrix]
"""float64[rows, columns] → the score of each row."""

Steps = tuple[Callable[[], object] | None, Callable[[], Ask]]
"""Make of the model what is loaded, where that is not its own file; and load it. Libraries are imported before either."""

Backend = Callable[[Path, Path], Steps]
"""Given the model's file, and where to put what is made of it."""


def _tidemark(model: Path, made: Path) -> Steps:
    import lightgbm as lgb
    import numba  # noqa: F401  # so that its import counts for none of the steps, as no library's does

    from inference.boosters.ensemble import Compiled, ensemble
    from schemas.machine_code import keep_in

    keep_in(made)

    def make() -> object:
        from inference.boosters import kernel

        return kernel

    def load() -> Ask:
        trees = ensemble(lgb.Booster(model_str=model.read_text()), model)
        assert isinstance(trees, Compiled)
        return lambda matrix: trees.scores(matrix)[:, 0]

    return make, load


def _lightgbm(model: Path, made: Path) -> Steps:
    import lightgbm as lgb

    def load() -> Ask:
        booster = lgb.Booster(model_str=model.read_text())
        return lambda matrix: np.asarray(booster.predict(matrix, num_threads=1), dtype=np.float64)

    return None, load


def _onnx_runtime(model: Path, made: Path) -> Steps:
    import lightgbm as lgb
    import onnxruntime
    from onnxmltools import convert_lightgbm
    from onnxmltools.convert.common.data_types import FloatTensorType

    def make() -> None:
        booster = lgb.Booster(model_file=model)
        shape = [("rows", FloatTensorType([None, booster.num_feature()]))]
        made.write_bytes(convert_lightgbm(booster, initial_types=shape, zipmap=False).SerializeToString())

    def load() -> Ask:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(made.read_bytes(), options, providers=["CPUExecutionProvider"])

        def ask(matrix: Matrix) -> Matrix:
            (chances,) = session.run(["probabilities"], {"rows": matrix.astype(np.float32)})
            return np.asarray(chances[:, 1], dtype=np.float64)

        return ask

    return make, load


def _tl2cgen(model: Path, made: Path) -> Steps:
    import tl2cgen
    import treelite

    library = made.with_suffix(".so")

    def make() -> None:
        trees = treelite.frontend.load_lightgbm_model(model)
        tl2cgen.export_lib(trees, toolchain="gcc", libpath=library, params={"parallel_comp": 8})

    def load() -> Ask:
        predictor = tl2cgen.Predictor(library, nthread=1)
        return lambda matrix: np.asarray(predictor.predict(tl2cgen.DMatrix(matrix)), dtype=np.float64).reshape(-1)

    return make, load


def _lleaves(model: Path, made: Path) -> Steps:
    def load() -> Ask:
        compiled = _compiled(model, made)
        return lambda matrix: np.asarray(compiled.predict(matrix, n_jobs=1))

    return lambda: _compiled(model, made), load


def _lleaves_in_order(model: Path, made: Path) -> Steps:
    """With each tree in a block of its own, so that trees are added in LightGBM's order; what follows the sum is the C library's `exp`, as LightGBM's."""
    options = {"raw_score": True, "fblocksize": 1}

    def load() -> Ask:
        compiled = _compiled(model, made, **options)

        def ask(matrix: Matrix) -> Matrix:
            raw = compiled.predict(matrix, n_jobs=1)
            return np.array([1.0 / (1.0 + math.exp(-value)) for value in raw.tolist()])

        return ask

    return lambda: _compiled(model, made, **options), load


def _compiled(model: Path, made: Path, **options: Any) -> Any:
    import lleaves

    compiled = lleaves.Model(model_file=str(model))
    compiled.compile(cache=str(made), **options)
    return compiled


BACKENDS: dict[str, Backend] = {
    "tidemark": _tidemark,
    "lightgbm": _lightgbm,
    "lleaves": _lleaves,
    "lleaves_in_order": _lleaves_in_order,
    "onnx_runtime": _onnx_runtime,
    "tl2cgen": _tl2cgen,
}
