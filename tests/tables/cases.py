"""The files: made by pyarrow in every type and layout, and such as other writers have left in `written`."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.tables import AT_MS, Row, row

WRITTEN = Path(__file__).parent / "written"
US = AT_MS * 1_000
DAY_MS = 1_767_571_200_000
UTC_MS = pa.timestamp("ms", tz="UTC")
ZONES = (None, "UTC", "America/New_York", "+05:30", "Mars/Olympus")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A folder of files.

    Attributes:
        name: Its name.
        write: Writes the files into a folder.
        rows: What they hold.
        refused: Or why every reader refuses them, after the path of the file, which `file` names.
        nulls: Or the field that has a null which it does not allow: refused as a file, or as a row where rows are counted.
        file: Of a refusal.
    """

    name: str
    write: Callable[[Path], None]
    rows: tuple[Row, ...] = ()
    refused: str | None = None
    nulls: str | None = None
    file: str = "a.parquet"


def file(path: Path, columns: dict[str, Any], **options: Any) -> None:
    """One row of `reading`, with other columns; None leaves one out."""
    given = {"id": pa.array(["a"]), "event_time": pa.array([AT_MS], UTC_MS), "amount": pa.array([1.5])} | columns
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({name: column for name, column in given.items() if column is not None}), path, **options)


def typed(name: str, wanted: dict[str, Any], *, label: str = "", options: dict[str, Any] | None = None, **columns: Any) -> Case:
    """A file whose columns have other types, and the row that it is."""
    return Case(name=f"{name}{label}", write=lambda folder: file(folder / "a.parquet", columns, **(options or {})), rows=(row(**wanted),))


def refused(name: str, why: str, **columns: Any) -> Case:
    """A file whose columns are refused."""
    return Case(name=name, write=lambda folder: file(folder / "a.parquet", columns), refused=why)


def hive(name: str, folder: str, wanted: dict[str, Any], **columns: Any) -> Case:
    """A file in folders whose names hold values."""
    return Case(name=f"hive: {name}", write=lambda root: file(root / folder / "a.parquet", columns), rows=(row(**wanted),))


def not_hive(name: str, folder: str, why: str, **columns: Any) -> Case:
    """Folders' names that are refused."""
    return Case(
        name=f"hive: {name}", write=lambda root: file(root / folder / "a.parquet", columns), refused=why, file=f"{folder}/a.parquet"
    )


def by_other(name: str, *rows: Row) -> Case:
    """What another writer has left."""
    kept = WRITTEN / name

    def write(folder: Path) -> None:
        if kept.is_dir():
            shutil.copytree(kept, folder)
        else:
            folder.mkdir(parents=True)
            shutil.copy(kept.with_name(f"{name}.parquet"), folder)

    return Case(name=f"by {name}", write=write, rows=rows)


def one(value: Any, type_: Any) -> Any:
    """A column of one row."""
    return pa.array([value], type_)


def instant(value: int, type_: Any) -> Any:
    """A column of one instant, as the number that it is stored as."""
    return pa.array([value], pa.int64()).cast(type_)


def uuids(*values: UUID | None) -> Any:
    """A column of Arrow's UUIDs."""
    stored: Any = pa.array([None if value is None else value.bytes for value in values], pa.binary(16))
    return pa.ExtensionArray.from_storage(pa.uuid(), stored)


def groups(folder: Path) -> None:
    """Ten row groups, an int64 for the double without statistics, other columns before and after."""
    count = 100
    columns = {
        "other": pa.array([{"amount": 1, "id": "x"}] * count),
        "id": pa.array([f"r{number:03}" for number in range(count)]),
        "event_time": pa.array([AT_MS + number for number in range(count)], UTC_MS),
        "amount.raw": pa.array([9.0] * count),
        "amount": pa.array(range(count), pa.int64()),
        "items": pa.array([None if number == 200 else number for number in range(count)], pa.uint64()),
        "more": pa.array([[1, 2]] * count),
    }
    folder.mkdir(parents=True)
    pq.write_table(pa.table(columns), folder / "a.parquet", row_group_size=10, write_statistics=False)


def twice(folder: Path) -> None:
    columns = [pa.array(["a"]), instant(AT_MS, UTC_MS), pa.array([1.5]), pa.array([1.5])]
    folder.mkdir(parents=True)
    pq.write_table(pa.Table.from_arrays(columns, names=["id", "event_time", "amount", "amount"]), folder / "a.parquet")


def cut(folder: Path) -> None:
    file(folder / "a.parquet", {})
    content = (folder / "a.parquet").read_bytes()
    (folder / "a.parquet").write_bytes(content[:-20])


def _times() -> list[Case]:
    """Instants of every unit and zone, and before 1970, where a finer part is cut towards the past."""
    cases = []
    for unit, per_ms in (("ms", 1), ("us", 1_000), ("ns", 1_000_000)):
        for zone in ZONES:
            type_: Any = pa.timestamp(unit, tz=zone)
            fine = AT_MS * per_ms + (per_ms - 1)
            early = -86_400_000 * per_ms - (per_ms > 1)
            wanted = {"event_time": AT_MS, "seen": -86_400_000 - (per_ms > 1)}
            cases.append(typed("time ", wanted, label=f"{unit} {zone}", event_time=instant(fine, type_), seen=instant(early, type_)))
    ns = pa.timestamp("ns")
    fine, early = instant(AT_MS * 1_000_000 + 999_999, ns), instant(-1, ns)
    cases.append(typed("time of 96 bits", {"seen": -1}, options=OLD, event_time=fine, seen=early))
    far, past = instant(dt.date(2300, 1, 1).toordinal() * 86_400 - 62_135_683_200, pa.timestamp("s")), instant(-1, pa.timestamp("s"))
    cases.append(typed("time in s", {"event_time": -1000, "seen": 10_413_792_000_000}, event_time=past, seen=far))
    return cases


DUCK = row(event_time=AT_MS + 123, amount=12.5, items=5, seen=DAY_MS, flag=True)
BEAR, CUB = DUCK, row(id="b", event_time=AT_MS + 123, amount=-0.01, items=6)
OLD = {"use_deprecated_int96_timestamps": True}
DOTTED: dict[str, Any] = {"amount.raw": pa.array([9.0]), "card.x": pa.array(["no"])}
PANDA = row(event_time=AT_MS + 123, items=5, seen=AT_MS - 19_800_000, flag=True)

ACCEPTED = (
    typed("plain", {"card": "k", "items": 7, "flag": True}, card=one("k", None), items=one(7, None), flag=one(True, None)),
    *_times(),
    typed(
        "time is a date",
        {"event_time": DAY_MS, "seen": -86_400_000},
        event_time=one(dt.date(2026, 1, 5), None),
        seen=one(dt.date(1969, 12, 31), None),
    ),
    typed("text is a date", {"card": "0099-01-05"}, card=one(dt.date(99, 1, 5), None)),
    typed("text is a decimal", {"card": "-0.0000001"}, card=one(Decimal("-0.0000001"), pa.decimal128(20, 7))),
    typed("text is a dictionary", {"card": "k"}, card=pa.array(["k"]).dictionary_encode()),
    typed("text is large", {"card": "kü"}, card=one("kü", pa.large_string())),
    typed("text is bytes", {"card": "kü"}, card=one("kü".encode(), pa.binary())),
    typed("text is a UUID", {"card": "123e4567-e89b-12d3-a456-426614174000"}, card=uuids(UUID("123e4567-e89b-12d3-a456-426614174000"))),
    typed("text is no UUID", {"card": None}, card=uuids(None)),
    typed("text is nulls", {"card": None, "flag": None}, card=pa.nulls(1), flag=pa.nulls(1), seen=pa.nulls(1)),
    typed(
        "number is a decimal",
        {"amount": 12.5, "items": 7},
        amount=one(Decimal("12.50"), pa.decimal128(20, 2)),
        items=one(Decimal(7), pa.decimal128(38, 2)),
    ),
    typed("number is a long decimal", {"amount": 0.1}, amount=one(Decimal("0.1"), pa.decimal128(38, 18))),
    typed("number is a longer decimal", {"amount": -123.25}, amount=one(Decimal("-123.25"), pa.decimal256(60, 20))),
    typed("number is a half", {"amount": 1.5}, amount=pa.array(np.array([1.5], dtype="float16"))),
    typed("number is a float", {"amount": 0.25}, amount=one(0.25, pa.float32())),
    typed("number is whole", {"amount": 2.0**53, "items": 7}, amount=one(2**53, pa.int64()), items=one(7, pa.int8())),
    typed(
        "number is unsigned",
        {"amount": 4294967295.0, "items": 2**32 - 1},
        amount=one(2**32 - 1, pa.uint32()),
        items=one(2**32 - 1, pa.uint32()),
    ),
    typed(
        "number is long and unsigned",
        {"amount": 2.0**53, "items": 2**63 - 1},
        amount=one(2**53, pa.uint64()),
        items=one(2**63 - 1, pa.uint64()),
    ),
    typed(
        "names with dots",
        {"amount": 1.5, "card": "k"},
        card=pa.array(["k"]),
        **DOTTED,
    ),
    typed(
        "names within others",
        {"amount": 1.5},
        other=pa.array([{"amount": 9.0, "id": "no"}]),
        pairs=pa.array([[("card", 1)]], pa.map_(pa.string(), pa.int64())),
    ),
    Case(
        name="row groups", write=groups, rows=tuple(row(id=f"r{n:03}", event_time=AT_MS + n, amount=float(n), items=n) for n in range(100))
    ),
    hive("text", "card=k1", {"card": "k1"}),
    hive("text stays text", "card=007", {"card": "007"}),
    hive("null", "card=__HIVE_DEFAULT_PARTITION__", {"card": None}),
    hive("nothing", "card=", {"card": ""}),
    hive("escapes", "card=a%2Fb%20%C3%BC%25+ü", {"card": "a/b ü%+ü"}),
    hive("a name's escapes", "c%61rd=k", {"card": "k"}),
    hive(
        "all types",
        "card=k/amount=-1.5E-3/items=-7/flag=True/seen=2026-01-05 10%3A00%3A00.000999",
        {"card": "k", "amount": -0.0015, "items": -7, "flag": True, "seen": AT_MS},
        amount=None,
    ),
    hive("dates", "seen=2026-01-05", {"seen": DAY_MS}),
    hive("zones", "seen=2026-01-05T12%3A00%2B02%3A00", {"seen": AT_MS}),
    hive("others", "day=2026-01-05/card=k/hour=7", {"card": "k"}),
    hive("folders between", "card=k/2026/items=7", {"card": "k", "items": 7}),
    hive("said twice alike", "card=k/card=k", {"card": "k"}, card=one("k", None)),
    hive("as in the file", "card=k/items=7", {"card": "k", "items": 7}, card=one("k", None), items=one(7, pa.uint64())),
    hive("null as in the file", "card=__HIVE_DEFAULT_PARTITION__", {"card": None}, card=pa.nulls(1)),
    by_other("duckdb_uuid", DUCK | {"card": "123e4567-e89b-12d3-a456-426614174000"}),
    by_other("duckdb_enum", DUCK | {"card": "k1"}),
    by_other("duckdb_json", DUCK | {"card": '{"a": 1}'}),
    by_other("duckdb_null", DUCK | {"card": None}),
    by_other("duckdb_date", DUCK | {"card": "2026-01-05"}),
    by_other("duckdb_hive", DUCK | {"card": "k1"}, DUCK | {"card": "a/b ü%"}, DUCK | {"card": None}),
    by_other("duckdb_hive_kept", DUCK | {"card": "k1"}, DUCK | {"card": "k2"}),
    by_other("polars_null", BEAR, CUB),
    by_other("polars_categorical", BEAR | {"card": "k1"}, CUB),
    by_other("polars_enum", BEAR | {"card": "k1"}, CUB),
    by_other(
        "polars_half",
        BEAR | {"amount": 1.5, "event_time": AT_MS + 123 + 5 * 3_600_000, "seen": AT_MS + 123},
        CUB | {"amount": -0.25, "event_time": AT_MS + 123 + 5 * 3_600_000},
    ),
    by_other("polars_hive", BEAR | {"card": "k1"}, CUB),
    by_other("fastparquet", PANDA),
    by_other("fastparquet_int96", PANDA | {"card": "k1"}),
    by_other("fastparquet_hive", PANDA | {"card": "k1", "items": 7}),
    by_other("spark", DUCK | {"card": "k1"}),
    by_other("spark_hive", DUCK | {"card": "k1"}, DUCK | {"card": "a/b ü%"}, DUCK | {"card": None}),
    by_other("spark_micros", DUCK | {"card": None}),
    by_other("spark_legacy", DUCK | {"card": "k1"}),
    by_other("spark_ntz", DUCK | {"card": "k1"}),
)

REFUSED = (
    refused("text for a number", 'column "amount" is string; expected double', amount=pa.array(["1.5"])),
    refused("a double for a whole number", 'column "items" is double; expected int64', items=pa.array([1.0])),
    refused("a boolean for a number", 'column "items" is bool; expected int64', items=pa.array([True])),
    refused("a number for a boolean", 'column "flag" is int64; expected bool', flag=pa.array([1])),
    refused("a number for text", 'column "card" is int64; expected string', card=pa.array([1])),
    refused("a number for a time", 'column "seen" is int64; expected timestamp[ms, tz=UTC]', seen=pa.array([1])),
    refused("a time of day", 'column "seen" is time64[us]; expected timestamp[ms, tz=UTC]', seen=one(dt.time(1), pa.time64("us"))),
    refused("a duration", 'column "items" is duration[us]; expected int64', items=one(dt.timedelta(1), pa.duration("us"))),
    refused("a date for a number", 'column "amount" is date32[day]; expected double', amount=one(dt.date(2026, 1, 5), None)),
    refused("16 bytes that are no UUID", 'column "card" is fixed_size_binary[16]; expected string', card=one(b"0" * 16, pa.binary(16))),
    refused("a list", 'column "card" is list<element: string>; expected string', card=pa.array([["k"]])),
    refused("a column's own columns", 'column "amount" is struct<raw: double>; expected double', amount=pa.array([{"raw": 1.5}])),
    refused("a missing column", 'column "amount" is missing (did you mean "amuont"?)', amount=None, amuont=pa.array([1.5])),
    refused(
        "several faults",
        'column "id" is missing (expected string); column "amount" is string; expected double; column "items" is double; expected int64',
        id=None,
        amount=pa.array(["x"]),
        items=pa.array([1.0]),
    ),
    Case(name="a column twice", write=twice, refused='column "amount" is there 2 times'),
    refused(
        "a number beyond int64",
        'column "items" cannot be read as int64: Integer value 9223372036854775808 not in range: 0 to 9223372036854775807',
        items=one(2**63, pa.uint64()),
    ),
    refused(
        "a whole number that is no double",
        'column "amount" cannot be read as float64: Integer value 9007199254740993 not in range: -9007199254740992 to 9007199254740992',
        amount=one(2**53 + 1, pa.int64()),
    ),
    refused(
        "a decimal with a fraction for a whole number",
        'column "items" cannot be read as int64: Rescaling Decimal128 value would cause data loss',
        items=one(Decimal("1.5"), pa.decimal128(20, 1)),
    ),
    refused(
        "a decimal with more digits than a double",
        'column "amount" cannot be read as float64: Decimal value 9007199254740993.00 has more digits than a double holds',
        amount=one(Decimal("9007199254740993.00"), pa.decimal128(38, 2)),
    ),
    *(
        Case(
            name=f"a time of 96 bits in {year}",
            write=lambda folder, year=year: file(
                folder / "a.parquet", {"seen": one(dt.datetime(year, 3, 4, 5, 6, 7), pa.timestamp("us"))}, **OLD
            ),  # type: ignore[misc]
            refused='column "seen" has a time of 96 bits beyond the years 1677 to 2262, which Arrow does not tell from others',
        )
        for year in (1, 3000, 9999)
    ),
    refused(
        "bytes that are no text",
        'column "card" cannot be read as string: it has bytes that are no UTF-8',
        card=one(b"\xff", pa.binary()),
    ),
    Case(
        name="bytes that are called text, and are none",
        write=lambda folder: file(folder / "a +%, b.parquet", {"card": one(b"k\xff", pa.binary()).view(pa.string())}),
        refused='column "card" cannot be read as string: it has bytes that are no UTF-8',
        file="a +%, b.parquet",
    ),
    refused(
        "several values",
        'column "amount" cannot be read as float64: Decimal value 9007199254740993.00 has more digits than a double holds; '
        'column "items" cannot be read as int64: Integer value 9223372036854775808 not in range: 0 to 9223372036854775807',
        amount=one(Decimal("9007199254740993.00"), pa.decimal128(38, 2)),
        items=one(2**63, pa.uint64()),
    ),
    not_hive("text for a number", "items=x", 'column "items" is "x" by its folder; expected int64'),
    not_hive("a fraction for a whole number", "items=1.5", 'column "items" is "1.5" by its folder; expected int64'),
    not_hive("a number beyond int64", f"items={2**63}", f'column "items" is "{2**63}" by its folder; expected int64'),
    not_hive("no number", "amount=1_0", 'column "amount" is "1_0" by its folder; expected double', amount=None),
    not_hive("no boolean", "flag=1", 'column "flag" is "1" by its folder; expected bool'),
    not_hive("no day", "seen=2026-02-30", 'column "seen" is "2026-02-30" by its folder; expected timestamp[ms, tz=UTC]'),
    not_hive("two values", "card=k1/card=k2", 'its folders give column "card" two values, "k1" and "k2"'),
    not_hive("no text", "card=%ff", "its folder's name %ff is no UTF-8"),
    not_hive("another in the file", "card=k1", 'column "card" is k2 in row 1, and k1 by its folder', card=pa.array(["k2"])),
    not_hive("null in the file", "items=7", 'column "items" is null in row 1, and 7 by its folder', items=pa.nulls(1)),
    not_hive("another type in the file", "items=7", 'column "items" is string; expected int64', items=pa.array(["7"])),
    Case(name="no Parquet", write=lambda folder: text(folder / "a.parquet"), refused="not a readable Parquet file"),
    Case(name="a file cut short", write=cut, refused="not a readable Parquet file"),
)

NULLS = (
    Case(name="null", write=lambda folder: file(folder / "a.parquet", {"items": one(None, pa.int64())}), nulls="items"),
    Case(name="nulls", write=lambda folder: file(folder / "a.parquet", {"amount": pa.nulls(1)}), nulls="amount"),
    Case(
        name="the null folder",
        write=lambda folder: file(folder / "items=__HIVE_DEFAULT_PARTITION__" / "a.parquet", {}),
        nulls="items",
        file="items=__HIVE_DEFAULT_PARTITION__/a.parquet",
    ),
)


def text(path: Path) -> None:
    """A file of something else."""
    path.parent.mkdir(parents=True)
    path.write_text("id,amount\n" * 10)
