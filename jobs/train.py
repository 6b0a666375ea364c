"""`tidemark train SERVICE --training DIR --out DIR`: a LightGBM model from a backfill, stopped early on later days and tested on days after those.

Beside it, in `static/`, the same without real-time features: what they are worth is the difference.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import lightgbm as lgb
import numpy as np
import pyarrow as pa
import typer
from numpy.typing import NDArray

from features.catalog import load
from features.data_version import KEY
from inference.metrics import auc, log_loss
from inference.model import MANIFEST_FILE, Encoding, save
from infra.settings import Settings
from jobs.code_version import code_version
from jobs.features_read import service_named
from jobs.frontier import instant_ms
from jobs.output import written_whole
from jobs.training_set import Split, TrainingSet, day
from schemas.errors import DataError
from schemas.types import DataType

STATIC = "static"
"""Folder of the static model, inside the model's."""

PARAMETERS: Mapping[str, Any] = {
    "objective": "binary",
    "learning_rate": 0.06,
    "num_leaves": 31,
    "min_data_in_leaf": 300,
    "feature_fraction": 0.5,
    "cat_smooth": 50,
    "seed": 20130101,
    "deterministic": True,  # with force_row_wise: the same model from the same data on any number of cores
    "force_row_wise": True,
    "verbosity": -1,
}
MOST_TREES = 800
PATIENCE_TREES = 40
"""Trees without a better log loss on the stopping days, after which training ends."""

_THREADS = re.compile(r"^\[num_threads: \d+\]\n", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A model and how good it is.

    Attributes:
        booster: The model, cut to its best number of trees.
        encoding: Of its features.
        metrics: Part (`fit`, `stop`, `test`) → rows, share of positives, AUC, log loss.
        seconds: How long it took.
    """

    booster: lgb.Booster
    encoding: Encoding
    metrics: Mapping[str, Mapping[str, float]]
    seconds: float


def command(
    service: Annotated[str, typer.Argument(help="A feature service of the definitions")],
    training: Annotated[Path, typer.Option(help="Folder that `tidemark backfill --label` wrote")],
    out: Annotated[Path, typer.Option(help="Folder of the model; an older model in it is replaced")],
    test_from: Annotated[
        str | None, typer.Option(help="Test on requests from this time on; otherwise on the last tenth of the time", metavar="TIME")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The model's name; otherwise the service's")] = None,
) -> None:
    """Train a model on a backfill."""
    settings = Settings.load()
    plan = service_named(service, load(settings.definitions, settings.schemas))
    data = TrainingSet.read(training, plan)
    split = Split.of(data.times_ms, None if test_from is None else instant_ms(test_from))
    with written_whole(out, mark=MANIFEST_FILE, replace=True) as folder:
        for line in train_and_save(data, split, folder, name=name or plan.name):
            print(line)
    print(f"model: {out}")


def train_and_save(data: TrainingSet, split: Split, folder: Path, *, name: str) -> list[str]:
    """Train the model, and beside it the static one; what came out, for the user."""
    types = data.service.feature_types
    own = {feature.name for feature in data.service.request_features}
    lines = [
        f"{len(data.table):,} labelled rows ({data.unlabelled:,} without a label left out); stop from {day(split.stop_ms)}, test from {day(split.test_ms)}"
    ]
    for title, names, place in ((name, set(types), folder), (f"{name}.{STATIC}", own, folder / STATIC)):
        chosen = {feature: type_ for feature, type_ in types.items() if feature in names}
        if not chosen:
            continue
        trained = train(data, split, chosen)
        version = save(place, trained.booster, trained.encoding, record=_record(data, split, trained, name=title))
        test = trained.metrics["test"]
        lines.append(
            f"{title} {version}: {trained.booster.num_trees()} trees, test AUC {test['auc']:.4f}, log loss {test['log_loss']:.4f} ({trained.seconds:.1f} s)"
        )
    return lines


def train(data: TrainingSet, split: Split, types: Mapping[str, DataType]) -> Trained:
    """Fit on the earlier days, stop by the log loss of later ones, measure on all parts.

    Raises:
        DataError: A part of the split has no row.
    """
    started = time.monotonic()
    parts = dict(zip(("fit", "stop", "test"), split.parts(data.times_ms), strict=True))
    for part, rows in parts.items():
        if not rows.any():
            raise DataError(f"--training: no labelled request to {part} with ({day(split.stop_ms)} and {day(split.test_ms)} cut the time)")
    encoding = Encoding.of(types, data.table.filter(pa.array(parts["fit"])))
    matrix = encoding.matrix(data.table)
    parameters = {**PARAMETERS, "num_threads": _cores()}
    fit = lgb.Dataset(matrix[parts["fit"]], data.happened[parts["fit"]], feature_name=list(types), categorical_feature=encoding.categorical)
    stop = lgb.Dataset(matrix[parts["stop"]], data.happened[parts["stop"]], reference=fit)
    grown = lgb.train(
        parameters,
        fit,
        MOST_TREES,
        valid_sets=[stop],
        callbacks=[lgb.early_stopping(PATIENCE_TREES, first_metric_only=True, verbose=False)],
    )
    text = grown.model_to_string(num_iteration=grown.best_iteration)
    booster = lgb.Booster(model_str=_THREADS.sub("", text))  # or the version would tell on how many cores it was trained
    metrics = {part: _measured(booster, matrix[rows], data.happened[rows], parameters["num_threads"]) for part, rows in parts.items()}
    return Trained(booster=booster, encoding=encoding, metrics=metrics, seconds=time.monotonic() - started)


def _measured(booster: lgb.Booster, matrix: NDArray[np.float64], happened: NDArray[np.bool_], threads: int) -> dict[str, float]:
    score = np.asarray(booster.predict(matrix, num_threads=threads), dtype=np.float64)
    return {
        "rows": len(score),
        "positive_share": float(happened.mean()),
        "auc": auc(happened, score),
        "log_loss": log_loss(happened, score),
    }


def _record(data: TrainingSet, split: Split, trained: Trained, *, name: str) -> dict[str, Any]:
    """What the manifest says of a training: enough to tell whether another would give the same."""
    service = data.service
    return {
        "name": name,
        "service": service.name,
        "service_version": service.fingerprint,
        "views": {view.name: view.fingerprint for view in service.views},
        "label": None if service.label is None else service.label.value.text,
        "metrics": trained.metrics,
        "trees": trained.booster.num_trees(),
        "parameters": dict(PARAMETERS),
        "split": {"stop_from_ms": split.stop_ms, "test_from_ms": split.test_ms},
        KEY: data.version.json(),
        "data": {"files": data.files, "rows": len(data.table), "unlabelled": data.unlabelled},
        "code_version": str(code_version()),
        "lightgbm_version": lgb.__version__,
    }


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
