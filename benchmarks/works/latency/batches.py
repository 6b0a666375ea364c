"""How many requests a batch of the score job has, as its function counts both: few when it waits for them, many when they wait for it."""

from __future__ import annotations

import time

from benchmarks import services
from benchmarks.processes import CommandError
from infra.settings import Settings

_REQUESTS, _BATCHES = "predictions", "batches"
_POLL_S, _PATIENCE_S = 0.5, 60.0


class Batches:
    """Of a job, from one call to the next."""

    def __init__(self, settings: Settings, job: str) -> None:
        """Of a job that has answered nothing yet."""
        self._settings = settings
        self._job = job
        self._before = {_REQUESTS: 0, _BATCHES: 0}

    def requests_per_batch(self, requests: int) -> float:
        """Of the requests since the last call, on average.

        Args:
            requests: How many the job has answered since its start; Flink tells of the last of them some seconds later.

        Raises:
            CommandError: It does not.
        """
        deadline = time.monotonic() + _PATIENCE_S
        while (now := services.counted(self._settings, self._job, [_REQUESTS, _BATCHES]))[_REQUESTS] < requests:
            if time.monotonic() > deadline:
                raise CommandError(f"Flink tells of {now[_REQUESTS]:,} answers, expected {requests:,}")
            time.sleep(_POLL_S)
        before, self._before = self._before, now
        return (now[_REQUESTS] - before[_REQUESTS]) / (now[_BATCHES] - before[_BATCHES])
