"""How far the store is with a stream of tiles, whatever comes first; and the pace of a work, without its beginning and its end."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from benchmarks import pace
from benchmarks.benchmark import WrongAnswerError
from benchmarks.online import inputs
from benchmarks.online.store import fill
from benchmarks.online.valkey import valkey
from benchmarks.processes import CommandError
from benchmarks.works.materialize.progress import Progress
from benchmarks.works.online_write import check, ours, stream
from features.plan import FRONTIER_TOPIC
from inference.online.redis.connection import connect
from inference.online.redis.store import RedisStore


@pytest.mark.slow
def test_tiles_are_counted_as_they_are_stored_in_any_order(tmp_path: Path) -> None:
    given, out = tmp_path / "inputs", tmp_path / "out"
    out.mkdir()
    stream.ensure_records(given, hours=1)
    with valkey(tmp_path) as address:
        client = connect(address)
        fill(inputs.plan(), RedisStore(client), given)
        progress, job = Progress(client, given), ours.materializer(RedisStore(client))
        topics, bodies = ours.records(given)
        closings = [row for row, topic in enumerate(topics) if topic == FRONTIER_TOPIC]  # a view's come in order: they are of one partition
        order = closings + [row for row in reversed(range(len(topics))) if topics[row] != FRONTIER_TOPIC]
        seen, written = [progress()], 0
        for first in range(0, len(order), 1_000):
            part = order[first : first + 1_000]
            written += job.write([topics[row] for row in part], [bodies[row] for row in part]).tiles
            if len(part) == 1_000:
                ours.read_back(RedisStore(client), given, out)
                with pytest.raises(WrongAnswerError):
                    check.tiles(out, given)
            assert progress() == written
            seen.append(written)
        assert seen == sorted(seen)
        assert written == progress.tiles > 5_000
        ours.read_back(RedisStore(client), given, out)
    check.tiles(out, given)


class Work:
    """So many pieces a second of its own clock, which goes on only while it is waited for; the first half second brings none."""

    def __init__(self, rate: int, pieces: int) -> None:
        self.rate, self.pieces, self.now = rate, pieces, 0.0

    def __call__(self) -> int:
        return min(self.pieces, max(0, int((self.now - 0.5) * self.rate)))

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_a_pace_is_without_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    work = Work(1_000, 2_000)
    monkeypatch.setattr(pace, "time", work)
    found = pace.paced(work, 2_000, [psutil.Process()], [], of="a test")
    assert found.seconds == pytest.approx(1e-3, rel=0.01)
    assert len(found.cpu_seconds) == len(found.peak_bytes) == 2
    assert found.peak_bytes[0] > found.peak_bytes[1] == 0


def test_what_came_at_once_has_no_pace() -> None:
    with pytest.raises(CommandError, match="a test: 100 came at once"):
        pace.paced(lambda: 100, 100, of="a test")
