"""The content of history's files by sha256: each read once, as a stream, in as many threads as there are cores."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from features.versions.data_version import DataFile
from jobs.spark.relation import HistoryFile, Relation
from schemas.errors import DataError


def hashed(relations: Mapping[str, Relation]) -> dict[str, tuple[DataFile, ...]]:
    """The files of each relation with the sha256 of their content.

    Raises:
        DataError: A file has gone, or is being written.
    """
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as threads:  # the hash, as the read, lets other threads run
        found = {name: threads.map(_hashed, relation.files) for name, relation in relations.items()}
        return {name: tuple(files) for name, files in found.items()}


def _hashed(file: HistoryFile) -> DataFile:
    try:
        with file.path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            size = stream.tell()
    except OSError as fault:
        raise DataError(f"{file.path}: cannot be read: {fault.strerror or fault}") from None
    if size != file.bytes:
        raise DataError(f"{file.path}: had {file.bytes:,} bytes and now has {size:,}; do not change the inputs while they are read")
    return DataFile(name=file.name, bytes=file.bytes, rows=file.rows, sha256=digest)
