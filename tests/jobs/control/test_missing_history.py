"""The history that a view lacks is counted as an oracle counts it, whatever the files' row groups, and scaled only beyond a sample."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.expressions.expression import parse
from features.partials.tally import TallyPartial
from features.tiles.codec import TileCodec
from features.versions.plan_diff import ALL_HISTORY_MS
from jobs.control import missing_history
from jobs.control.missing_history import measure
from schemas.errors import DataError
from tests import shop
from tests.shop import MINUTE, NOON

PLAN = shop.plan()
USER, SHELF = PLAN.views["user_clicks"], PLAN.views["shelf_clicks"]
CLICK = shop.schemas().current("click")
TYPES: dict[str, pa.DataType] = {"ms": pa.timestamp("ms", tz="UTC"), "ns": pa.timestamp("ns"), "us": pa.timestamp("us", tz="UTC")}


def clicks(count: int = 3_000) -> list[dict[str, Any]]:
    rng = random.Random(3)
    return [
        {
            "event_time": NOON + rng.randrange(60 * MINUTE),
            "user": rng.choice(["ann", "bob", "zoë"]),
            "shop": rng.randrange(3),
            "shelf": "top",
            "amount": rng.uniform(0, 9),
        }
        for _ in range(count)
    ]


def written(folder: Path, rows: list[dict[str, Any]], *, unit: str = "ms", group: int = 100) -> Path:
    types = {field.name: field.type.arrow for field in CLICK.fields}
    for part in range(3):
        table = pa.table({name: pa.array([row[name] for row in rows[part::3]], type=type_) for name, type_ in types.items()})
        place = table.column_names.index("event_time")
        table = table.set_column(place, "event_time", table["event_time"].cast(TYPES[unit]))
        pq.write_table(table.sort_by("event_time") if part else table, folder / f"{part}.parquet", row_group_size=group)
    return folder


@pytest.mark.parametrize("unit", list(TYPES))
@pytest.mark.parametrize("view", [USER, SHELF], ids=lambda view: view.name)
def test_events_and_tiles_are_counted(tmp_path: Path, unit: str, view: Any) -> None:
    rows = clicks()
    newest = max(row["event_time"] for row in rows) + 1
    size = measure(view, (25 * MINUTE + 1, 3 * MINUTE), written(tmp_path, rows, unit=unit), CLICK)
    assert size is not None
    inside = [row for row in rows if newest - 25 * MINUTE - 1 <= row["event_time"] < newest - 3 * MINUTE]
    tiles = {(*(row[key.name] for key in view.keys), row["event_time"] // MINUTE) for row in inside}
    assert (size.from_ms, size.until_ms) == (newest - 25 * MINUTE - 1, newest - 3 * MINUTE)
    assert (size.events, size.sampled, size.tiles) == (len(inside), len(inside), len(tiles))
    record = TileCodec(view=view).record
    assert record is not None
    assert (size.bytes, size.unmeasured) == (len(tiles) * record.itemsize, ())


def test_beyond_the_sample_only_the_files_own_counts_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(missing_history, "SAMPLED", 1_500)
    rows = sorted(clicks(), key=lambda row: row["event_time"])
    folder = written(tmp_path, rows)
    size = measure(USER, (60 * MINUTE, 0), folder, CLICK)
    assert size is not None
    assert 1_500 <= size.sampled < size.events == len(rows)
    assert size.tiles == pytest.approx(3 * 60, rel=0.2)


def test_events_that_the_view_leaves_out_make_no_tile(tmp_path: Path) -> None:
    rows = clicks()
    where = parse("user = 'ann'", USER.source.columns, USER.source.nullable, where="test")
    size = measure(replace(USER, where=where), (60 * MINUTE, 0), written(tmp_path, rows), CLICK)
    assert size is not None
    assert (size.events, size.tiles) == (3_000, 60)


def test_text_is_measured_and_what_only_an_engine_can_tell_is_named(tmp_path: Path) -> None:
    last = next(partial for partial in USER.partials if partial.name == "last_amount")
    user = parse("user", USER.source.columns, USER.source.nullable, where="test")
    text = replace(last, name="last_user", input=user)
    rows = [{**clicks(1)[0], "user": user} for user in ("ann", "zoë", "ü")]
    size = measure(replace(USER, partials=(text,)), (MINUTE, 0), written(tmp_path, rows), CLICK)
    assert size is not None
    assert size.bytes == 3 * (20 + 1 + 8 + 4 + 3)  # three letters, four bytes, two
    tally = TallyPartial(name="tally_user", input=user)
    size = measure(replace(USER, partials=(tally,)), (MINUTE, 0), tmp_path, CLICK)
    assert size is not None
    assert (size.bytes, size.unmeasured) == (3 * (20 + 1), ("tally_user",))


def test_times_are_those_of_the_event_whatever_columns_lie_before(tmp_path: Path) -> None:
    rows = clicks()
    expected = measure(USER, (25 * MINUTE, 3 * MINUTE), written(tmp_path, rows), CLICK)
    for path in tmp_path.glob("*.parquet"):
        table = pq.read_table(path)
        other = pa.array([{"made": 0, "sent": 1}] * len(table), pa.struct([("made", TYPES["ms"]), ("sent", TYPES["ms"])]))
        pq.write_table(pa.table({"other": other, **{name: table[name] for name in table.column_names}}), path, row_group_size=100)
    assert measure(USER, (25 * MINUTE, 3 * MINUTE), tmp_path, CLICK) == expected


def test_an_event_without_a_time_is_at_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(missing_history, "SAMPLED", 0)  # nothing is read but times
    files: dict[str, list[int | None]] = {"a": [None, NOON, NOON + MINUTE], "b": [None]}
    for name, times in files.items():
        others: dict[str, Any] = {
            name: pa.array([None] * len(times), type_.arrow) for name, type_ in CLICK.columns.items()
        }  # not looked at
        table = pa.table(others | {"event_time": pa.array(times, pa.int64()).cast(TYPES["ms"])})
        pq.write_table(table, tmp_path / f"{name}.parquet", write_statistics=False)
    size = measure(USER, (ALL_HISTORY_MS, 0), tmp_path, CLICK)
    assert size is not None
    assert (size.from_ms, size.until_ms) == (NOON, NOON + MINUTE + 1)


def test_no_events_are_no_size_and_a_file_of_something_else_is_one_clear_line(tmp_path: Path) -> None:
    assert measure(USER, (MINUTE, 0), tmp_path / "none", CLICK) is None
    pq.write_table(pa.table({"x": [1]}), tmp_path / "x.parquet")
    with pytest.raises(DataError, match=r'x\.parquet: column "event_time" is missing \(expected timestamp\[ms, tz=UTC\]\); column "user"'):
        measure(USER, (MINUTE, 0), tmp_path, CLICK)
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"x\.parquet: not a readable Parquet file: "):
        measure(USER, (MINUTE, 0), tmp_path, CLICK)
