"""Requests are answered where there is no engine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from inference.online.redis.connection import Client
from tests import shop
from tests.inference.test_scorer import fill
from tests.waiting import PATIENCE_S

ALONE = """
import pickle, sys
from pathlib import Path

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("pyflink", "pyspark", "jobs", "infra"):
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Blocked())
from features.versions.data_version import CodeVersion
from inference.model.manifest import Manifest
from inference.scoring import Scoring
from schemas.wire import Decoder
from tests import shop

folder, store = Path(sys.argv[1]), sys.argv[2]
scoring = pickle.loads(pickle.dumps(Scoring(
    service=shop.plan().services["buy"], schemas=shop.schemas(), store=store, model=folder, version=Manifest.read(folder).version,
    code=CodeVersion(release="1", sources_sha256="0" * 64), shard_memory_bytes=1 << 28, machine_code=Path(sys.argv[4]),
)))
assert store not in repr(scoring)
decoder = Decoder(scoring.schemas, "offer", event_time="event_time", required=("request_id",), max_ahead_ms=60_000)
first = scoring.scorer(*scoring.checked(), decoder)
kept = sorted(path.name for path in Path(sys.argv[4]).rglob("*.nbc"))
values = first.answer([shop.offer("r1", 1_700_000_000_000)]).values
for number in range(1, int(sys.argv[3])):
    values = scoring.later(number).continue_batch(values).values
assert kept == sorted(path.name for path in Path(sys.argv[4]).rglob("*.nbc")), "the first batch has compiled"
assert {name.partition(".")[0] for name in kept} >= {"kernel", "avro_kernel"}, kept
print(shop.prediction(values[0])["score"])
"""


def alone(folder: Path, store: str, stages: int) -> float:
    command = [sys.executable, "-c", ALONE, str(folder), store, str(stages), str(folder.parent / "machine-code")]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


@pytest.mark.slow
def test_without_flink_a_model_answers_whole_or_in_stages(client: Client, valkey: str, tmp_path: Path) -> None:
    fill(client)
    whole, cut = shop.train(tmp_path / "whole"), shop.train(tmp_path / "cut", stages=2)
    assert 0 < alone(whole, valkey, 1) < 1
    assert 0 < alone(cut, valkey, 2) < 1
