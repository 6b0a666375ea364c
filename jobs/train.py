"""`tidemark train SERVICE --training DIR --out DIR`: a LightGBM model from a backfill, stopped early on later days and tested on days after those.

Beside it, in `static/`, the same without real-time features: what they are worth is the difference.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import lightgbm as lgb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer
from numpy.typing import NDArray

from features.catalog import load
from features.compiler.plan import ServicePlan
from inference.metrics import auc, log_loss
from inference.model import MANIFEST_FILE, Encoding, save
from infra.settings import Settings
from jobs.features_read import service_named
from jobs.frontier import instant_ms
from jobs.output import written_whole
from schemas.errors import DataError, SettingError
from schemas.types import DataType

STATIC = "static"
"""Folder of the static model, inside the model's."""
BACKFILL = "_tidemark.json"
LABEL = "label"

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
_STOP_SHARE, _TEST_SHARE = 0.1, 0.1
_DAY_MS = 86_400_000


@dataclass(frozen=True, kw_only=True)
class Split:
    """A training set cut in time, at midnights in UTC: `[…, stop)` is fitted, `[stop, test)` says when to stop, `[test, …]` tests."""

    stop_ms: int
    test_ms: int

    @classmethod
    def of(cls, times_ms: NDArray[np.int64], test_ms: int | None = None) -> Split:
        """The last tenth of the time tests, or all from a given time on; the tenth before it stops.

        Raises:
            SettingError: The training set is too short to be cut.
        """
        first, last = int(times_ms.min()), int(times_ms.max())
        length = last - first
        test = _midnight(last - _TEST_SHARE * length) if test_ms is None else test_ms
        stop = _midnight(test - _STOP_SHARE * length)
        if not first < stop < test <= last:
            raise SettingError(
                f"--training: requests from {_day(first)} to {_day(last)} are too few days to fit, stop and test on; backfill more, or move --test-from"
            )
        return cls(stop_ms=stop, test_ms=test)

    def parts(self, times_ms: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
        """Which rows fit, stop and test."""
        return times_ms < self.stop_ms, (times_ms >= self.stop_ms) & (times_ms < self.test_ms), times_ms >= self.test_ms


@dataclass(frozen=True, kw_only=True)
class TrainingSet:
    """Labelled rows of a backfill.

    Attributes:
        service: Whose features they have.
        table: Rows whose label is known, in the order of the files.
        times_ms: int64[n], event times of the requests.
        happened: bool[n], the label.
        unlabelled: How many rows were left out because nobody knows what happened.
        files: The Parquet files: path, rows, bytes and sha256 of each.
        origin: What the backfill says of itself.
    """

    service: ServicePlan
    table: pa.Table = field(repr=False)
    times_ms: NDArray[np.int64] = field(repr=False)
    happened: NDArray[np.bool_] = field(repr=False)
    unlabelled: int
    files: list[dict[str, object]]
    origin: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path, service: ServicePlan) -> TrainingSet:
        """Read what `tidemark backfill --label` wrote.

        Raises:
            SettingError: It is not there, or was made from other definitions, or without labels.
            DataError: A file that cannot be read, a label that is not true or false, or only one outcome.
        """
        origin = _origin(folder, service)
        paths = sorted(path for path in folder.glob("*.parquet"))
        try:
            # From their bytes, so that what is hashed is what is trained on.
            read = [(path, path.read_bytes()) for path in paths]
            tables = [pq.read_table(pa.BufferReader(content)) for _, content in read]
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{folder}: not readable: {str(error).splitlines()[0]}") from None
        if not tables:
            raise SettingError(f"--training: {folder} has no Parquet file; write it with `tidemark backfill --label`")
        whole = pa.concat_tables(tables)
        if LABEL not in whole.column_names:
            raise SettingError(f"--training: {folder} has no labels; write it with `tidemark backfill --label`")
        if service.label is None or service.label.value.type is not DataType.BOOLEAN:
            raise SettingError(f'{service.name}: the label is not a condition, and only those are trained on; e.g. value="arr_delay > 15"')
        known = whole.filter(whole[LABEL].is_valid())
        happened = known[LABEL].to_numpy().astype(np.bool_)
        if not happened.any() or happened.all():
            raise DataError(
                f"--training: {folder} has {len(happened):,} rows with a label, all of one outcome; both are needed to learn from"
            )
        return cls(
            service=service,
            table=known,
            times_ms=known[service.request.event_time].cast(pa.int64()).to_numpy(),
            happened=happened,
            unlabelled=len(whole) - len(known),
            files=[
                {"path": path.name, "rows": len(table), "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
                for (path, content), table in zip(read, tables, strict=True)
            ],
            origin=origin,
        )


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
        f"{len(data.table):,} labelled rows ({data.unlabelled:,} without a label left out); stop from {_day(split.stop_ms)}, test from {_day(split.test_ms)}"
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
            raise DataError(
                f"--training: no labelled request to {part} with ({_day(split.stop_ms)} and {_day(split.test_ms)} cut the time)"
            )
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
        "data": {"files": data.files, "rows": len(data.table), "unlabelled": data.unlabelled, "backfill": dict(data.origin)},
        "code_version": importlib.metadata.version("tidemark"),
        "lightgbm_version": lgb.__version__,
        "trained_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _origin(folder: Path, service: ServicePlan) -> dict[str, Any]:
    try:
        origin = dict(json.loads((folder / BACKFILL).read_text()))
        made_for = (str(origin["service"]), str(origin["service_version"]))
    except OSError:
        raise SettingError(
            f"--training: {folder} is not a backfill (it has no {BACKFILL}); write it with `tidemark backfill --label`"
        ) from None
    except (ValueError, KeyError, TypeError) as fault:
        raise DataError(f"{folder / BACKFILL}: damaged: {type(fault).__name__}: {fault}; run the backfill again") from None
    if made_for != (service.name, service.fingerprint):
        raise SettingError(
            f"--training: {folder} was made for service {made_for[0]} version {made_for[1]}, but the definitions say {service.name} version {service.fingerprint}; run the backfill again"
        )
    return origin


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _midnight(ms: float) -> int:
    return int(ms // _DAY_MS) * _DAY_MS


def _day(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d")
