"""A newcomer's first hour, by the page alone: its files, its commands in their order, on a runtime of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.docs.pages import ROOT, files, named
from tests.waiting import PATIENCE_S

STEPS = ("check", "test", "stream", "read")


@pytest.mark.e2e
def test_the_page_leads_to_features(tmp_path: Path) -> None:
    for name, content in files().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    settings = {"TIDEMARK_JIT": "quick", "TIDEMARK_CHECKPOINT_INTERVAL": "2s", "TIDEMARK_START_TIMEOUT": f"{PATIENCE_S:.0f}s"}
    path = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    environ = os.environ | settings | path
    script = "\n".join(named("sh")[step] for step in STEPS)
    try:
        subprocess.run([sys.executable, "-c", named("python")["payments"]], cwd=tmp_path, check=True, timeout=PATIENCE_S)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=tmp_path,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=10 * PATIENCE_S,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    finally:
        subprocess.run([sys.executable, "-m", "jobs.cli.main", "down"], cwd=tmp_path, env=environ, check=False, capture_output=True)
    seen, unseen = pq.read_table(tmp_path / "features.parquet").to_pylist()
    # In the hour before 11:59 a payment comes each minute, and every third is card-0's.
    assert (seen["payments_1h"], seen["stale"]) == (20, False)
    assert seen["large_share"] == seen["large_1h"] / 20
    assert (unseen["payments_1h"], unseen["amount_mean_24h"], unseen["stale"]) == (0, None, False)
