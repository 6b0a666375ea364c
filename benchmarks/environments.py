"""The peers' own Python environments, from locked files with hashes, made anew when a lock changes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

LOCKS = Path(__file__).with_name("peers")
"""`<name>.in` says what and why, `<name>.txt` is its lock: `uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-header`."""

_UV = Path(".tidemark/tools/bin/uv")


def python(peers: Path, name: str) -> Path:
    """A peer's interpreter."""
    return peers / name / "bin" / "python"


def ensure(peers: Path, name: str) -> None:
    """Install a peer, unless what its lock says is there."""
    folder, lock = (peers / name).absolute(), (LOCKS / f"{name}.txt").read_bytes()
    stamp = folder / "lock.txt"
    if stamp.is_file() and stamp.read_bytes() == lock:
        return
    shutil.rmtree(folder, ignore_errors=True)
    uv = str(_UV) if _UV.is_file() else "uv"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, folder], check=True)
    subprocess.run([uv, "pip", "sync", "--quiet", "--require-hashes", "--python", python(peers, name), LOCKS / f"{name}.txt"], check=True)
    stamp.write_bytes(lock)
