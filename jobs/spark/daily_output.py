"""The folder that a backfill writes: one Parquet file per day, each there whole or not at all, and what all of them were made of.

`2013-10-01.parquet` beside `_tidemark/2013-10-01.json`, the day's manifest. A day is done when both are there. Files whose names begin with `_` or
`.` are passed over by pyarrow, pandas and Spark, so the folder reads as one table.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from features.versions.data_version import KEY, DataVersion
from features.versions.data_version_diff import changes
from jobs.spark.daily_writer import Written
from schemas.errors import DataError, SettingError
from schemas.wording import cause

STATE = "_tidemark"
MADE_OF = "made_of.json"
WHOLE = "_tidemark.json"
"""Of all days: written last, so that a folder without it is not whole."""

_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, kw_only=True)
class Days:
    """The folder, open for one backfill.

    Attributes:
        folder: The folder.
        made_of: What its days are made of; the same in every run that may add to it.
    """

    folder: Path
    made_of: DataVersion

    @property
    def scratch(self) -> Path:
        """Where workers write, on the same file system."""
        return self.folder / STATE / "writing"

    @classmethod
    @contextmanager
    def open(cls, folder: Path, made_of: DataVersion, *, overwrite: bool = False) -> Iterator[Days]:
        """Open a folder to add days to it, begin it where it is not there; one process at a time.

        Args:
            folder: The folder; its parents are made.
            made_of: What its days are made of.
            overwrite: Begin anew where it was made of something else, or even of the same.

        Raises:
            SettingError: It cannot be written, is somebody else's, is written by another process, or was made of something else.
            DataError: What it says of itself is damaged.
        """
        claim(folder)
        with locked(folder, folder / STATE / "lock"):
            days = cls(folder=folder, made_of=made_of)
            with writing(folder):
                days._begin(overwrite)
            try:
                yield days
            finally:
                shutil.rmtree(days.scratch, ignore_errors=True)

    def _begin(self, overwrite: bool) -> None:
        known = self.folder / STATE / MADE_OF
        if overwrite:
            (self.folder / WHOLE).unlink(missing_ok=True)
            known.unlink(missing_ok=True)  # before the days: without it nobody knows what they are made of
            for path in self._left():
                path.unlink()
        if known.exists():
            self._refuse_another(DataVersion.parse(_read(known), known))
        elif self._left():
            raise SettingError(
                f"--out: {self.folder} has days of an --overwrite that was stopped; say --overwrite again, or name another folder"
            )
        else:
            write_json(known, {KEY: self.made_of.json()})
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir(exist_ok=True)  # a worker of a run that was killed may still be writing there, under names of its own

    def _left(self) -> list[Path]:
        return [*self.folder.glob("*.parquet"), *(self.folder / STATE).glob("*.json")]

    def _refuse_another(self, before: DataVersion) -> None:
        if changed := changes(before, self.made_of):
            raise SettingError(
                f"--out: {self.folder} was begun with other inputs ({'; '.join(changed)}); run with the same, name another folder, or begin anew with --overwrite"
            )

    def done(self) -> dict[int, int]:
        """The days that are there: day since the epoch → rows."""
        found = {}
        for path in (self.folder / STATE).glob("????-??-??.json"):
            said = _read(path)
            file = self.folder / said["file"]
            if said[KEY] == self.made_of.digest and file.is_file() and file.stat().st_size == said["bytes"]:
                found[(date.fromisoformat(path.stem) - _EPOCH).days] = int(said["rows"])
        return found

    def commit(self, written: Written, *, expected: int) -> None:
        """Put a day in its place: the file first, then its manifest, each in one step and on disk before the next.

        Raises:
            DataError: It has other rows than were counted: the inputs change while they are read.
            SettingError: It cannot be written.
        """
        if written.rows != expected:
            raise DataError(
                f"{name(written.day)}: {expected:,} requests were counted and {written.rows:,} computed; do not change the inputs"
            )
        file = self.folder / f"{name(written.day)}.parquet"
        manifest = {"file": file.name, "rows": written.rows, "bytes": written.bytes, "sha256": written.sha256}
        with writing(self.folder):
            (self.scratch / written.file).replace(file)
            _sync(self.folder)
            write_json(self.folder / STATE / f"{name(written.day)}.json", manifest | {KEY: self.made_of.digest})

    def finish(self, manifest: Mapping[str, Any], schema: pa.Schema) -> None:
        """Say that all that was asked for is there; where that is nothing, with a file that only has the columns.

        Raises:
            SettingError: It cannot be written.
        """
        with writing(self.folder):
            files = [_read(path) for path in sorted((self.folder / STATE).glob("????-??-??.json"))]
            days = [{key: f[key] for key in ("file", "rows", "bytes", "sha256")} for f in files]
            if not days:
                pq.write_table(schema.empty_table(), self.folder / "no-requests.parquet")
            write_json(self.folder / WHOLE, {KEY: self.made_of.json(), **manifest, "days": days})


def manifest_of(folder: Path) -> dict[str, Any]:
    """What a folder says of all its days, checked as far as its data version.

    Raises:
        SettingError: It is no such folder, or not all of its days are there.
        DataError: The manifest is damaged.
    """
    path = folder / WHOLE
    if not path.is_file():
        missing = (
            f"not whole yet (it has no {WHOLE}); run its backfill again"
            if (folder / STATE).is_dir()
            else f"not a backfill (it has no {WHOLE})"
        )
        raise SettingError(f"{folder} is {missing}")
    manifest = _read(path)
    DataVersion.parse(manifest, path)
    return manifest


def claim(folder: Path) -> None:
    """Refuse a folder that holds something else.

    Raises:
        SettingError: It does, or nobody may look.
    """
    with writing(folder):
        inside = [path.name for path in folder.iterdir()] if folder.is_dir() else [] if not folder.exists() else [folder.name]
        if inside and not (folder / STATE).is_dir():
            raise SettingError(f"--out: {folder} is not empty and was not written by this command; name another folder")


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Around what touches the files of a folder to write, and nothing else: what engines raise is no fault of the folder.

    Raises:
        SettingError: The folder cannot be written.
    """
    try:
        yield
    except OSError as fault:
        raise SettingError(f"--out: {folder} cannot be written: {fault.strerror or fault}") from fault


@contextmanager
def locked(folder: Path, lock: Path) -> Iterator[None]:
    """Keep other processes from writing a folder, until the block or this process ends.

    Raises:
        SettingError: Another one is writing it, or this one cannot.
    """
    with writing(folder):
        lock.parent.mkdir(parents=True, exist_ok=True)
        stream = lock.open("w")
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SettingError(f"--out: {folder} is being written by another backfill; wait for it, or name another folder") from None
        yield


def name(day: int) -> str:
    """A day as people write it."""
    return (_EPOCH + timedelta(days=day)).isoformat()


def spans(asked: Sequence[int], done: Mapping[int, int], failed: Mapping[int, str]) -> list[str]:
    """Which days are done and which are not, a line for each run of them."""
    runs: list[tuple[str, list[int]]] = []
    for day in asked:
        state = "done" if day in done else f"not done{f': {failed[day]}' if day in failed else ''}"
        if runs and runs[-1][0] == state:
            runs[-1][1].append(day)
        else:
            runs.append((state, [day]))
    return [_span(state, days, done) for state, days in runs]


def _span(state: str, days: list[int], done: Mapping[int, int]) -> str:
    span = name(days[0]) if len(days) == 1 else f"{name(days[0])} to {name(days[-1])}"
    rows = f", {sum(done[day] for day in days):,} rows" if state == "done" else ""
    what, _, why = state.partition(": ")
    return f"{what}: {span} ({len(days):,} day{'s' if len(days) > 1 else ''}{rows}){f': {why}' if why else ''}"


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text()))
    except OSError as fault:
        raise SettingError(f"{path}: cannot be read: {cause(fault)}") from None
    except (ValueError, TypeError) as fault:
        raise DataError(f"{path}: damaged: {type(fault).__name__}: {fault}; make it again") from None


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """A file that is there whole or not at all; of the same content the same bytes, so no time is in it."""
    fresh = path.with_name(f".{path.name}.new")
    with fresh.open("w") as stream:
        stream.write(json.dumps(content, indent=1) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(path)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
