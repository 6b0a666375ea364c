"""Training is fair in time, the same again and again, and refuses what it cannot learn from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.catalog import load as load_definitions
from features.plan import ServicePlan
from features.versions.data_version import KEY, CodeVersion, DataFile, DataVersion
from inference.model.evaluation import auc
from inference.model.loading import load
from inference.shards.shard_map import Missing
from jobs import train
from jobs.spark.daily_output import STATE, WHOLE, manifest_of
from jobs.training import fit
from jobs.training.atomic_output import written_whole
from jobs.training.dataset import Split, TrainingSet
from jobs.training.shards import Sharding, sharding
from schemas.errors import DataError, SettingError, TidemarkError
from schemas.types import DataType

SERVICE = load_definitions(None, None).services["flight_delay"]
DAY_MS = 86_400_000
START_MS = 1_357_000_000_000 // DAY_MS * DAY_MS
DAYS, A_DAY = 60, 60


def backfilled(folder: Path, *, days: int = DAYS, label: bool = True, service: ServicePlan = SERVICE) -> Path:
    """A folder as a backfill leaves it; the label hangs on one real-time feature, and for one carrier."""
    random = np.random.default_rng(11)
    n = days * A_DAY
    makers: dict[DataType, Any] = {
        DataType.FLOAT64: lambda: pa.array(random.normal(size=n), mask=random.random(n) < 0.1),
        DataType.INT64: lambda: pa.array(random.integers(0, 20, n)),
        DataType.STRING: lambda: pa.array(random.choice(["AA", "B6", "UA"], n)),
    }
    columns: dict[str, Any] = {name: makers[type_]() for name, type_ in SERVICE.feature_types.items()}
    odds = np.nan_to_num(columns["origin_dep_delay_mean_1h"].to_numpy(zero_copy_only=False)) * 2 + (
        np.array(columns["carrier"].to_pylist()) == "B6"
    )
    columns["event_time"] = pa.array(START_MS + np.arange(n) * (DAY_MS // A_DAY)).cast(pa.timestamp("ms", tz="UTC"))
    if label:
        columns["label"] = pa.array(random.random(n) < 1 / (1 + np.exp(-odds)), mask=random.random(n) < 0.05)
    folder.mkdir()
    table = pa.table(columns)
    pq.write_table(table.slice(0, n // 2), folder / "part-0.parquet")
    pq.write_table(table.slice(n // 2), folder / "part-1.parquet")
    return stated(folder, service)


def stated(folder: Path, service: ServicePlan = SERVICE) -> Path:
    """With the manifest of what is in it."""
    file = DataFile(name="2013.parquet", bytes=1, rows=1, sha256="0" * 64)
    version = DataVersion.of(
        service, schemas={}, options={"label": True}, files={"departures": (file,)}, code=CodeVersion(release="0", sources_sha256="1" * 64)
    )
    days = [{"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()} for path in sorted(folder.glob("*.parquet"))]
    (folder / WHOLE).write_text(json.dumps({KEY: version.json(), "days": days}))
    return folder


def trained(folder: Path, training: Path, cut: Sharding | None = None) -> Path:
    told(folder, training, cut)
    return folder


def told(folder: Path, training: Path, cut: Sharding | None) -> list[str]:
    """What training said."""
    data = TrainingSet.read(training, SERVICE)
    with written_whole(folder, mark="manifest.json", replace=True) as scratch:
        return train.train_and_save(data, Split.of(data.times_ms), scratch, name="m", cut=cut)


def cut_by(*key: str, fewest_rows: int = 500, **options: Any) -> Sharding:
    given: dict[str, Any] = {"shards": 0, "segments": (), "missing": Missing.PARENT, "shards_of": None, "split": ()} | options
    made = sharding(SERVICE, key=key, fewest_rows=fewest_rows, **given)
    assert made is not None
    return made


def refused(folder: Path, match: str, kind: type[TidemarkError] = SettingError) -> None:
    with pytest.raises(kind, match=match) as error:
        data = TrainingSet.read(folder, SERVICE)
        Split.of(data.times_ms)
    assert "\n" not in str(error.value)


def test_what_is_tested_on_is_later_than_what_is_stopped_on_and_that_than_what_is_fitted() -> None:
    times = np.arange(0, 100 * DAY_MS, DAY_MS // 4)
    split = Split.of(times)
    fit, stop, test = (times[rows] for rows in split.parts(times))
    assert fit.max() < stop.min() and stop.max() < test.min()
    assert len(fit) + len(stop) + len(test) == len(times)
    assert (split.stop_ms % DAY_MS, split.test_ms % DAY_MS) == (0, 0)
    assert 0.75 < len(fit) / len(times) < 0.85


def test_a_model_learns_says_what_from_and_is_the_same_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training = backfilled(tmp_path / "training")
    first = trained(tmp_path / "first", training)
    monkeypatch.setattr(fit, "cores", lambda: 1)
    second = trained(tmp_path / "second", training)
    live, static = load(first), load(first / train.STATIC)
    assert (live.version, static.version) == (load(second).version, load(second / train.STATIC).version)

    said = live.manifest.said
    assert said["metrics"]["test"]["auc"] > 0.7 > static.manifest.said["metrics"]["test"]["auc"] > 0.5
    assert list(live.manifest.encoding.types) == list(SERVICE.feature_types)
    assert set(static.manifest.encoding.types) == {feature.name for feature in SERVICE.request_features}
    assert (live.manifest.service, live.manifest.service_version, live.manifest.name, static.manifest.name) == (
        "flight_delay",
        SERVICE.fingerprint,
        "m",
        "m.static",
    )
    for file in said["data"]["files"]:
        assert file["sha256"] == hashlib.sha256((training / file["path"]).read_bytes()).hexdigest()
    assert sum(file["rows"] for file in said["data"]["files"]) == said["data"]["rows"] + said["data"]["unlabelled"] == DAYS * A_DAY
    assert DataVersion.parse(said, first) == DataVersion.parse(manifest_of(training), training)
    assert live.manifest.data_version == static.manifest.data_version == said[KEY]["digest"] != ""
    files = [sorted(path.rglob("*.*")) for path in (first, second)]
    assert [path.read_bytes() for path in files[0]] == [path.read_bytes() for path in files[1]]  # not a time in them
    assert said["trees"] == live.trees.iterations < fit.MOST_TREES

    table = pq.read_table(training)
    score = live.predict(table)
    assert score.shape == (len(table),) and ((score > 0) & (score < 1)).all()


@pytest.fixture
def briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few trees, by one core: threads that wait for each other are slow where cores are shared."""
    monkeypatch.setattr(fit, "cores", lambda: 1)
    monkeypatch.setattr(fit, "MOST_TREES", 25)


@pytest.mark.usefixtures("briefly")
def test_each_shard_learns_from_its_own_rows_alone(tmp_path: Path) -> None:
    training = backfilled(tmp_path / "training", days=200)
    said = told(tmp_path / "m", training, cut_by("carrier", segments=["B6", "UA"]))
    model = load(tmp_path / "m")
    assert model.shards is not None
    data = TrainingSet.read(training, SERVICE)
    for shard, carrier in enumerate(["B6", "UA"]):
        rows = np.array(data.table["carrier"].to_pylist()) == carrier
        alone = fit.fit(fit.Examples.of(data, Split.of(data.times_ms), SERVICE.feature_types).only(rows)).booster
        own = model.shards.boosters.members[shard].path.read_text()
        assert own == alone.model_to_string()
        record = model.manifest.said["shards"]["members"][shard]
        assert (record["rows"], record["trees"]) == (rows.sum(), alone.num_trees())
        assert record["metrics"]["test"]["auc"] > 0.7
        assert record["metrics"]["test"]["rows"] == record["parent"]["test"]["rows"] > 0
    scores = model.score_table(data.table, data.table)
    assert [set(scores.shard[np.array(data.table["carrier"].to_pylist()) == carrier]) for carrier in ("AA", "B6", "UA")] == [{-1}, {0}, {1}]
    test = Split.of(data.times_ms).parts(data.times_ms)[2]
    assert model.manifest.said["together"]["test"]["auc"] == auc(data.happened[test], scores.score[test, 0])
    assert [line.split(":")[0] for line in said[2:5]] == [
        "by carrier, shard map version 1",
        "  shard 0 (carrier = B6)",
        "  shard 1 (carrier = UA)",
    ]


@pytest.mark.usefixtures("briefly")
def test_a_split_trains_anew_the_shards_whose_rows_change_and_no_other(tmp_path: Path) -> None:
    training = backfilled(tmp_path / "training", days=200)
    first = trained(tmp_path / "first", training, cut_by("carrier", "origin", shards=3, fewest_rows=300))
    said = told(tmp_path / "second", training, cut_by(shards_of=first, split=[1], fewest_rows=300))
    files = [{path.name: path.read_bytes() for path in (folder / "shards").iterdir()} for folder in (first, tmp_path / "second")]
    assert {"0.txt", "1.txt", "2.txt"} == files[0].keys()
    assert [files[0][name] == files[1][name] for name in ("0.txt", "2.txt")] == [True, True]
    assert files[1].get("1.txt") != files[0]["1.txt"]
    models = [load(first), load(tmp_path / "second")]
    before, after = (model.shards.map.route(TrainingSet.read(training, SERVICE).table) for model in models if model.shards is not None)
    assert said[3] == f"since shard map version 1: {(before != after).sum():,} of {len(after):,} rows have another shard"
    assert models[0].version != models[1].version


@pytest.mark.usefixtures("briefly")
def test_a_shard_with_too_little_to_learn_from_has_no_model_and_says_why(tmp_path: Path) -> None:
    training = backfilled(tmp_path / "training")
    said = told(tmp_path / "m", training, cut_by("carrier", segments=["B6", "ZZ"], fewest_rows=1_000, missing=Missing.REFUSE))
    model = load(tmp_path / "m")
    assert model.shards is not None
    assert list(model.shards.boosters.members) == []
    assert set(model.manifest.untrained) == {0, 1}
    assert said[-2].startswith("  shard 1 (carrier = ZZ): no model: 0 rows to fit, fewer than 1,000")
    assert "0 shards with a model, 2 without (their requests are refused); together" in said[2]
    few = cut_by("carrier", segments=["ZZ"], fewest_rows=0)
    assert "  shard 0 (carrier = ZZ): no model: no row to fit with" in told(tmp_path / "few", training, few)


@pytest.mark.parametrize(
    ("key", "options", "said"),
    [
        ((), {"split": [1]}, "--split: of which map"),
        ((), {"shards": 2}, "by which fields of the request"),
        ((), {"segments": ["x"]}, "by which fields of the request"),
        (
            ("planet",),
            {"shards": 2},
            '--shard-key: shard key "planet" is no string or whole number of flight_delay\'s requests; there are ',
        ),
        (("carrier",), {}, "shard map: no shard"),
        (("carrier",), {"segments": ["x", "x"]}, "--segment x: said twice"),
        (("carrier",), {"shards_of": Path("m")}, "has a key and a number of shards already"),
    ],
)
def test_options_that_contradict_each_other_are_refused(key: tuple[str, ...], options: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingError) as error:
        cut_by(*key, **options)
    assert said in str(error.value) and "\n" not in str(error.value)


@pytest.mark.usefixtures("briefly")
def test_a_model_in_one_piece_has_no_shards_to_be_cut_as(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole", backfilled(tmp_path / "training"))
    with pytest.raises(SettingError, match="is a model in one piece; say --shard-key"):
        cut_by(shards_of=whole)


def test_an_older_model_is_replaced_and_anything_else_is_not(tmp_path: Path) -> None:
    training = backfilled(tmp_path / "training")
    out = trained(tmp_path / "model", training)
    trained(out, training)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter").write_text("dear")
    with pytest.raises(SettingError, match="not written by this command"):
        trained(tmp_path / "home", training)
    assert (tmp_path / "home" / "letter").read_text() == "dear"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "model", "training"]


def test_a_training_set_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "is not a backfill")
    refused(backfilled(tmp_path / "unlabelled", label=False), "has no labels")
    refused(backfilled(tmp_path / "other", service=replace(SERVICE, label=None)), "run the backfill again")
    refused(backfilled(tmp_path / "short", days=2), "too few days")
    broken = backfilled(tmp_path / "broken")
    content = (broken / "part-0.parquet").read_bytes()
    (broken / "part-0.parquet").write_bytes(content[:-9] + b"?" + content[-8:])
    refused(broken, r"part-0\.parquet: not as the backfill wrote it", DataError)
    (broken / "part-0.parquet").write_bytes(b"PAR1 no")
    refused(stated(broken), "not readable", DataError)
    (broken / "part-0.parquet").unlink()
    refused(broken, r"part-0\.parquet: not as the backfill wrote it", DataError)
    manifest = json.loads((broken / WHOLE).read_text())
    manifest[KEY]["files"]["departures"][0]["rows"] += 1
    (broken / WHOLE).write_text(json.dumps(manifest))
    refused(broken, "it does not fit its digest", DataError)
    (broken / WHOLE).unlink()
    (broken / STATE).mkdir()
    refused(broken, "is not whole yet")
    one = backfilled(tmp_path / "one")
    for path in one.glob("*.parquet"):
        table = pq.read_table(path)
        pq.write_table(table.set_column(table.column_names.index("label"), "label", pa.array([True] * len(table))), path)
    refused(stated(one), "all of one outcome", DataError)
