"""A small process beside the supervisor that ends a runtime's processes when the supervisor was killed and could not.

The kernel's death signal reaches the services, but not what they started: Flink's Python workers would live on.
Started as `python -m infra.reaper FD MARK`; the supervisor holds the other end of the pipe.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from infra.service import sweep


@contextmanager
def guarding(mark: str) -> Iterator[None]:
    """Have the processes with this mark ended when this process ends in whatever way."""
    watched, held = os.pipe()
    command = [sys.executable, "-P", "-m", "infra.reaper", str(watched), mark]
    guard = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=(watched,), start_new_session=True)
    os.close(watched)
    try:
        yield
    finally:
        os.close(held)
        guard.wait()


def main(arguments: Sequence[str]) -> int:
    """Wait until nobody holds the pipe, then sweep."""
    watched, mark = arguments
    for ending in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(ending, signal.SIG_IGN)  # it ends with the supervisor, not ahead of it
    with os.fdopen(int(watched)) as pipe:
        pipe.read()
    sweep(mark)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
