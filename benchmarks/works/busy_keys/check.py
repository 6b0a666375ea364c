"""Whether the answers to the last call of every case are right: features as the events say, or as many bytes as the tiles have."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks.benchmark import WrongAnswerError
from benchmarks.busy.cases import CALLS, CASES, VIEW
from benchmarks.busy.inputs import right
from benchmarks.works.busy_keys import store
from features.tiles.codec import HEAD, TileCodec
from inference.online.redis.layout import value_of


def features(out: Path, inputs: Path) -> None:
    """Compare `<case>.parquet` of each case with what windows hold.

    Raises:
        WrongAnswerError: They differ, or ours are said to be stale.
    """
    expected = pq.read_table(inputs / f"{VIEW}.parquet")
    for case in CASES:
        own = expected.take(case.chosen(CALLS - 1))
        if set(own["payments"].to_pylist()) != {case.tiles}:
            raise WrongAnswerError(f"{case.name}: windows of that many tiles were not asked for")
        try:
            right(pq.read_table(out / f"{case.name}.parquet"), own)
        except WrongAnswerError as error:
            raise WrongAnswerError(f"{case.name}: {error}") from None


def sizes(out: Path) -> None:
    """Compare `bytes.json` with the size of the tiles.

    Raises:
        WrongAnswerError: They differ.
    """
    read, given, (_, view) = json.loads((out / "bytes.json").read_text()), store.events(), store.service()
    record = TileCodec(view=view).record
    assert record is not None
    for case in CASES:
        stored = [int((given.card == card).sum()) for card in case.chosen(CALLS - 1)]
        expected = sum(len(value_of(bytes(HEAD.size + count * record.itemsize))) for count in stored)
        if read[case.name] != expected:
            raise WrongAnswerError(f"{case.name}: {read[case.name]:,} bytes, expected {expected:,}")
