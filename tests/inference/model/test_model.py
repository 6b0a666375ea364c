"""A model on disk either loads and scores as it did, or is refused in one line; it never takes the process down."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import lightgbm as lgb
import numpy as np
import psutil
import pyarrow as pa
import pytest

from features.columns.block import Block, Columns
from features.columns.values import Values
from inference.boosters import load_probe
from inference.model import manifest
from inference.model.encoding import Encoding
from inference.model.loading import load
from inference.model.writer import TrainedShards, save
from inference.shards.shard_map import ShardMap
from schemas.errors import DataError, SettingError, TidemarkError
from schemas.types import DataType

TYPES = {"x": DataType.FLOAT64, "n": DataType.INT64, "colour": DataType.STRING, "flag": DataType.BOOLEAN, "at": DataType.TIMESTAMP}
RECORD = {"name": "m", "service": "s", "service_version": "v"}


def rows(n: int = 600) -> pa.Table:
    random = np.random.default_rng(3)
    return pa.table(
        {
            "x": pa.array(random.normal(size=n), mask=random.random(n) < 0.1),
            "n": pa.array(random.integers(-3, 3, n)),
            "colour": pa.array(random.choice(["red", "blue", "green"], n), mask=random.random(n) < 0.1),
            "flag": pa.array(random.random(n) < 0.5),
            "at": pa.array(random.integers(0, 10**12, n), type=pa.int64()).cast(pa.timestamp("ms", tz="UTC")),
        }
    )


def trained(folder: Path) -> tuple[pa.Table, Encoding, lgb.Booster]:
    table = rows()
    encoding = Encoding.of(TYPES, table)
    matrix = encoding.matrix(table)
    happened = np.nan_to_num(matrix[:, 0]) + (matrix[:, 2] == 1) > 0.3
    parameters = {"objective": "binary", "verbosity": -1, "num_threads": 1, "min_data_in_leaf": 5, "min_data_per_group": 5}
    booster = lgb.train(parameters, lgb.Dataset(matrix, happened, categorical_feature=encoding.categorical), 20)
    save(folder, booster, encoding, record=RECORD)
    return table, encoding, booster


def refused(folder: Path, kind: type[TidemarkError] = DataError) -> str:
    with pytest.raises(kind) as error:
        load(folder)
    assert "\n" not in str(error.value)
    return str(error.value)


def signed(folder: Path, content: bytes) -> None:
    """Content under a manifest that says that it is whole."""
    (folder / manifest.MODEL_FILE).write_bytes(content)
    said = json.loads((folder / manifest.MANIFEST_FILE).read_text())
    (folder / manifest.MANIFEST_FILE).write_text(json.dumps(said | {"sha256": hashlib.sha256(content).hexdigest()}))


def test_a_loaded_model_scores_as_the_trained_one_in_any_order_of_columns_and_size_of_batch(tmp_path: Path) -> None:
    table, encoding, booster = trained(tmp_path / "m")
    expected = booster.predict(encoding.matrix(table))
    loaded = load(tmp_path / "m")
    assert loaded.version == hashlib.sha256((tmp_path / "m" / manifest.MODEL_FILE).read_bytes()).hexdigest()[:16]
    assert (loaded.manifest.name, loaded.manifest.service, loaded.manifest.service_version) == ("m", "s", "v")
    turned = table.select(table.column_names[::-1]).append_column("other", pa.array(range(len(table))))
    assert np.array_equal(loaded.predict(turned), expected)
    assert np.array_equal(np.concatenate([loaded.predict(batch) for batch in table.to_batches(max_chunksize=7)]), expected)
    assert loaded.predict(table.slice(0, 0)).shape == (0,)


def test_a_category_that_was_never_seen_scores_as_a_missing_one(tmp_path: Path) -> None:
    table, _, _ = trained(tmp_path / "m")
    loaded = load(tmp_path / "m")
    at = table.column_names.index("colour")
    unseen, missing = (table.set_column(at, "colour", pa.array([value] * len(table), type=pa.string())) for value in ("mauve", None))
    assert np.array_equal(loaded.predict(unseen), loaded.predict(missing))


def test_types_become_the_numbers_that_they_are() -> None:
    table = pa.table(
        {
            "x": [None, 2.5],
            "n": pa.array([None, -7], type=pa.int64()),
            "colour": ["blue", None],
            "flag": [True, None],
            "at": pa.array([datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC), None], type=pa.timestamp("us", tz="UTC")),
        }
    )
    matrix = Encoding(types=TYPES, categories={"colour": ("blue", "red")}).matrix(table)
    nan = float("nan")
    assert np.array_equal(matrix, np.array([[nan, nan, 0.0, 1.0, -1000.0], [2.5, -7.0, nan, nan, nan]]), equal_nan=True)


def test_columns_that_are_numbers_already_make_the_same_matrix_in_every_bit() -> None:
    table = pa.concat_tables([rows(), rows(50).set_column(2, "colour", pa.array([None, "mauve"] * 25))])
    encoding = Encoding.of(TYPES, rows())
    for types in (TYPES, dict(reversed(TYPES.items()))):
        block = Block.of(Columns(types=types), {name: Values.of(table[name], type_) for name, type_ in types.items()}, len(table))
        for few in (np.arange(len(table)), np.array([3]), np.array([], dtype=np.int64)):
            expected, found = encoding.matrix(table.take(few)), encoding.matrix_of(block.take(few))
            assert found.flags.c_contiguous and np.array_equal(found.view(np.int64), expected.view(np.int64))
    lacking = block.part(Columns(types={"at": DataType.TIMESTAMP}), 0)
    with pytest.raises(DataError, match=r"^features: no column x, n, colour, flag as the model needs it$"):
        encoding.matrix_of(lacking)


def test_a_missing_or_mistyped_feature_is_named(tmp_path: Path) -> None:
    trained(tmp_path / "m")
    loaded = load(tmp_path / "m")
    with pytest.raises(DataError, match="no column colour, at"):
        loaded.predict(rows().drop_columns(["colour", "at"]))
    with pytest.raises(DataError, match='column "x" cannot be read as float64'):
        loaded.predict(rows().set_column(0, "x", pa.array(["?"] * 600)))


def test_one_changed_bit_is_noticed_before_the_file_is_parsed(tmp_path: Path) -> None:
    trained(tmp_path / "m")
    path = tmp_path / "m" / manifest.MODEL_FILE
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert "damaged: its sha256 is" in refused(tmp_path / "m")


@pytest.mark.parametrize("damage", [b"", b"tree\n", b"\xff\xfe", b"half", b"index"])
def test_a_file_that_kills_lightgbm_kills_only_the_child(tmp_path: Path, damage: bytes) -> None:
    trained(tmp_path / "m")
    whole = (tmp_path / "m" / manifest.MODEL_FILE).read_bytes()
    content = {b"half": whole[: len(whole) // 2], b"index": whole.replace(b"split_feature=", b"split_feature=99999 ", 3)}.get(
        damage, damage
    )
    signed(tmp_path / "m", content)
    assert "LightGBM cannot load it" in refused(tmp_path / "m")


def test_a_file_that_only_the_python_package_refuses_is_refused_in_one_line(tmp_path: Path) -> None:
    trained(tmp_path / "m")
    whole = (tmp_path / "m" / manifest.MODEL_FILE).read_bytes()
    for tail in (b"\xff", b"pandas_categorical:{\n"):  # no UTF-8, no JSON: not the C library's matter, but its Python package's
        signed(tmp_path / "m", whole + tail)
        assert "LightGBM cannot load it" in refused(tmp_path / "m")


def test_a_model_of_other_features_than_the_manifests_is_refused(tmp_path: Path) -> None:
    trained(tmp_path / "m")
    path = tmp_path / "m" / manifest.MANIFEST_FILE
    said = json.loads(path.read_text())
    path.write_text(json.dumps(said | {"features": [*said["features"], {"name": "y", "type": "int64"}]}))
    assert "it has 5 features, the manifest 6" in refused(tmp_path / "m")


def test_a_model_whose_scores_are_not_finite_is_refused(tmp_path: Path) -> None:
    _, encoding, booster = trained(tmp_path / "m")
    for leaf in range(booster.dump_model()["tree_info"][0]["num_leaves"]):
        booster.set_leaf_output(0, leaf, float("nan"))
    save(tmp_path / "m", booster, encoding, record=RECORD)
    assert "its scores are not finite" in refused(tmp_path / "m")


def test_a_model_of_several_classes_gives_a_score_of_each(tmp_path: Path) -> None:
    _, encoding, _ = trained(tmp_path / "m")
    several = of_classes(encoding, 3)
    save(tmp_path / "m", several, encoding, record=RECORD)
    assert np.array_equal(load(tmp_path / "m").predict(rows()), several.predict(encoding.matrix(rows())))
    assert load(tmp_path / "m").predict(rows().slice(0, 0)).shape == (0, 3)


def test_a_model_of_another_number_of_classes_than_the_manifests_is_refused(tmp_path: Path) -> None:
    _, encoding, booster = trained(tmp_path / "m")
    save(tmp_path / "m", of_classes(encoding, 3), encoding, record=RECORD)
    path = tmp_path / "m" / manifest.MANIFEST_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | {"outputs": 2}))
    assert "it gives 3 scores a row, the manifest says 2" in refused(tmp_path / "m")
    shards = TrainedShards(map=ShardMap.of(["x"], shards=1), boosters={0: of_classes(encoding, 3)})
    with pytest.raises(SettingError, match=r"^shard 0: gives 3 scores a request, the whole model 1$"):
        save(tmp_path / "shards", booster, encoding, record=RECORD, shards=shards)


def of_classes(encoding: Encoding, classes: int) -> lgb.Booster:
    matrix = encoding.matrix(rows())
    parameters = {"objective": "multiclass", "num_class": classes, "verbosity": -1, "num_threads": 1}
    return lgb.train(parameters, lgb.Dataset(matrix, np.arange(len(matrix)) % classes), 2)


def test_a_child_that_hangs_is_given_up_and_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained(tmp_path / "m")
    (tmp_path / "hangs.py").write_text("import time\ntime.sleep(30)\n")
    monkeypatch.setattr(load_probe, "__file__", str(tmp_path / "hangs.py"))
    with pytest.raises(DataError, match="not loaded within 10 ms"):
        load(tmp_path / "m", deadline_s=0.01)
    assert [child for child in psutil.Process().children() if str(tmp_path) in " ".join(child.cmdline())] == []


@pytest.mark.parametrize(
    "change", [{"features": 3}, {"categories": {}}, {"sha256": None}, {"format": 99}, {"name": ""}, {"outputs": 0}, {"outputs": "1"}]
)
def test_a_damaged_manifest_is_named(tmp_path: Path, change: dict[str, object]) -> None:
    trained(tmp_path / "m")
    path = tmp_path / "m" / manifest.MANIFEST_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert manifest.MANIFEST_FILE in refused(tmp_path / "m")
    path.write_text("{")
    assert "damaged" in refused(tmp_path / "m")


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    assert "no model here" in refused(tmp_path, SettingError)
    trained(tmp_path / "m")
    (tmp_path / "m" / manifest.MODEL_FILE).unlink()
    assert "No such file" in refused(tmp_path / "m", SettingError)
