"""What a model learns from: the labelled rows of a backfill, checked against what the backfill says of itself, and cut in time."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from features.plan import ServicePlan
from features.versions.data_version import DataVersion
from jobs.spark.daily_output import manifest_of
from jobs.spark.daily_writer import LABEL
from jobs.spark.partitioning import DAY_MS
from schemas.errors import DataError, SettingError
from schemas.types import DataType
from schemas.wording import cause

_STOP_SHARE, _TEST_SHARE = 0.1, 0.1


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
                f"--training: requests from {day(first)} to {day(last)} are too few days to fit, stop and test on; backfill more, or move --test-from"
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
        version: What the backfill was made of.
    """

    service: ServicePlan
    table: pa.Table = field(repr=False)
    times_ms: NDArray[np.int64] = field(repr=False)
    happened: NDArray[np.bool_] = field(repr=False)
    unlabelled: int
    files: list[dict[str, object]]
    version: DataVersion

    @classmethod
    def read(cls, folder: Path, service: ServicePlan) -> TrainingSet:
        """Read what `tidemark backfill --label` wrote.

        Raises:
            SettingError: It is not there, or was made from other definitions, or without labels.
            DataError: A file that cannot be read, a label that is not true or false, or only one outcome.
        """
        version, stated = _backfilled(folder, service)
        if not stated:
            raise SettingError(f"--training: {folder} holds no request; backfill some with `tidemark backfill --label`")
        try:
            # From their bytes, so that what is hashed is what is trained on.
            read = [(path.name, path.read_bytes()) for path in sorted(folder.glob("*.parquet"))]
            found = {name: hashlib.sha256(content).hexdigest() for name, content in read}
            _refuse_others(folder, found, stated)
            tables = [pq.read_table(pa.BufferReader(content)) for _, content in read]
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{folder}: not readable: {cause(error)}") from None
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
                {"path": name, "rows": len(table), "bytes": len(content), "sha256": found[name]}
                for (name, content), table in zip(read, tables, strict=True)
            ],
            version=version,
        )


def _backfilled(folder: Path, service: ServicePlan) -> tuple[DataVersion, dict[str, str]]:
    """What the folder was made of, and the sha256 of each of its files."""
    try:
        manifest = manifest_of(folder)
    except SettingError as fault:
        raise SettingError(f"--training: {fault}; it is written by `tidemark backfill --label`") from None
    version = DataVersion.parse(manifest, folder)
    if (version.service, version.service_version) != (service.name, service.fingerprint):
        raise SettingError(
            f"--training: {folder} was made for service {version.service} version {version.service_version}, but the definitions say {service.name} version {service.fingerprint}; run the backfill again"
        )
    return version, {day["file"]: day["sha256"] for day in manifest["days"]}


def _refuse_others(folder: Path, found: Mapping[str, str], stated: Mapping[str, str]) -> None:
    """Refuse files that are not those of the manifest: what is recorded would not be what is trained on."""
    others = sorted(name for name in found.keys() | stated.keys() if found.get(name) != stated.get(name))
    if others:
        raise DataError(f"{folder / others[0]}: not as the backfill wrote it ({len(others):,} such files); run it again with --overwrite")


def _midnight(ms: float) -> int:
    return int(ms // DAY_MS) * DAY_MS


def day(ms: int) -> str:
    """The day of a time, in UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d")
