"""`tidemark train SERVICE --training DIR --out DIR`: a LightGBM model from a backfill, in one piece or a shard for each part of a declared key.

Beside it, in `static/`, the same without real-time features: what they are worth is the difference.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import lightgbm as lgb
import typer

from features.catalog import load, service_named
from features.versions.data_version import KEY
from inference.model.manifest import MANIFEST_FILE
from inference.model.writer import save
from inference.shards.shard_map import MOST_SHARDS, Missing
from infra.settings import Settings
from jobs.control.code_version import code_version
from jobs.training.atomic_output import written_whole
from jobs.training.dataset import Split, TrainingSet, day
from jobs.training.fit import PARAMETERS, TEST, Examples, Trained, fit
from jobs.training.shards import Sharding, figure, sharding, train_shards
from schemas.times import instant_ms

COMMANDS = {"train": "Train a model on a backfill"}

STATIC = "static"
"""Folder of the static model, inside the model's."""
MOST_STAGES = 64
FEWEST_ROWS = 3_000
"""To fit a shard with, where nothing else is said: ten leaves of the least size."""


def command(
    service: Annotated[str, typer.Argument(help="A feature service of the definitions")],
    training: Annotated[Path, typer.Option(help="Folder that `tidemark backfill --label` wrote")],
    out: Annotated[Path, typer.Option(help="Folder of the model; an older model in it is replaced")],
    test_from: Annotated[
        str | None, typer.Option(help="Test on requests from this time on; otherwise on the last tenth of the time", metavar="TIME")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The model's name; otherwise the service's")] = None,
    shard_key: Annotated[
        list[str] | None, typer.Option(help="Cut the model by this field of the request; said again, by both together", metavar="FIELD")
    ] = None,
    shards: Annotated[int, typer.Option(help="So many shards of equal shares of the keys' hashes", min=0, max=MOST_SHARDS)] = 0,
    segment: Annotated[
        list[str] | None, typer.Option(help="A key with a shard of its own, several fields as A|B; may be said again", metavar="KEY")
    ] = None,
    missing: Annotated[Missing, typer.Option(help="Who answers where a shard has no model: the whole model, or nobody")] = Missing.PARENT,
    shard_rows: Annotated[int, typer.Option(help="A shard with fewer rows to fit has no model", min=1)] = FEWEST_ROWS,
    shards_of: Annotated[
        Path | None, typer.Option(help="Cut as that model is, with the changes that --split and --segment make", metavar="MODEL")
    ] = None,
    stages: Annotated[
        int,
        typer.Option(
            help="Cut the trees into so many stages, each for a worker of its own: for a model too large for one", min=1, max=MOST_STAGES
        ),
    ] = 1,
    split: Annotated[list[int] | None, typer.Option(help="Cut this shard in two; may be said again", metavar="SHARD")] = None,
) -> None:
    """Train a model on a backfill."""
    settings = Settings.load()
    plan = service_named(service, load(settings.definitions, settings.schemas))
    cut = sharding(
        plan,
        key=shard_key or (),
        shards=shards,
        segments=segment or (),
        missing=missing,
        shards_of=shards_of,
        split=split or (),
        fewest_rows=shard_rows,
    )
    data = TrainingSet.read(training, plan)
    in_time = Split.of(data.times_ms, None if test_from is None else instant_ms(test_from))
    with written_whole(out, mark=MANIFEST_FILE, replace=True) as folder:
        for line in train_and_save(data, in_time, folder, name=name or plan.name, cut=cut, stages=stages):
            print(line)
    print(f"model: {out}")


def train_and_save(data: TrainingSet, split: Split, folder: Path, *, name: str, cut: Sharding | None = None, stages: int = 1) -> list[str]:
    """Train the model, its shards if it is cut, and beside it the static one; what came out, for the user."""
    types = data.service.feature_types
    names = {feature.name for feature in data.service.request_features}
    own = {feature: type_ for feature, type_ in types.items() if feature in names}
    lines = [
        f"{len(data.table):,} labelled rows ({data.unlabelled:,} without a label left out); stop from {day(split.stop_ms)}, test from {day(split.test_ms)}"
    ]
    examples = Examples.of(data, split, types)
    whole = fit(examples)
    record = _record(data, split, whole, name=name)
    if cut is None:
        lines.append(_line(name, save(folder, whole.booster, examples.encoding, record=record, stages=stages), whole))
    else:
        shards, together, said = train_shards(data, examples, whole, cut)
        version = save(
            folder, whole.booster, examples.encoding, record=record | {"together": {TEST: together}}, shards=shards, stages=stages
        )
        lines += [_line(name, version, whole), *said]
    if own:
        examples = Examples.of(data, split, own)
        static, title = fit(examples), f"{name}.{STATIC}"
        record = _record(data, split, static, name=title)
        lines.append(_line(title, save(folder / STATIC, static.booster, examples.encoding, record=record), static))
    return lines


def _line(name: str, version: str, trained: Trained) -> str:
    test = trained.metrics[TEST]
    return f"{name} {version}: {trained.booster.num_trees()} trees, test AUC {figure(test['auc'])}, log loss {figure(test['log_loss'])} ({trained.seconds:.1f} s)"


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
