"""Requests over HTTP at a steady rate: `python open_loop_http.py URL REQUESTS.parquet RATE FIRST COUNT OUT [patient]`, in the peer's environment.

OUT gets how long each waited, from when it was due, and its score. Unless patient, it gives up when answers are two seconds behind, and exits with 3.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import aiohttp
import numpy as np
import pyarrow.parquet as pq

BEHIND = 3
_MOST_BEHIND_S = 2.0
_CONNECTIONS = 64


async def main(url: str, requests: list[dict[str, str]], rate: int, out: Path, *, patient: bool) -> int:
    """Send them, each when it is due, whatever becomes of those before."""
    waited, scores = np.full(len(requests), np.nan), np.full(len(requests), np.nan)
    timeout = aiohttp.ClientTimeout(total=120)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=_CONNECTIONS), timeout=timeout) as session:
        begin, answered = time.perf_counter() + 0.5, 0

        async def ask(number: int) -> None:
            nonlocal answered
            async with session.post(url, json=requests[number], raise_for_status=True) as answer:
                scores[number] = (await answer.json())["score"]
            answered += 1
            waited[number] = time.perf_counter() - begin - number / rate

        tasks: set[asyncio.Task[None]] = set()
        for number in range(len(requests)):
            if (early := begin + number / rate - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            tasks.add(asyncio.create_task(ask(number)))
            done = {task for task in tasks if task.done()} if number % rate == 0 else set()
            for task in done:
                task.result()
            tasks -= done
            if not patient and number - answered > _MOST_BEHIND_S * rate:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                return BEHIND
        await asyncio.gather(*tasks)
    np.savez(out, waited=waited, scores=scores)
    return 0


if __name__ == "__main__":
    url, file, rate, first, count, out, *patient = sys.argv[1:]
    rows = pq.read_table(file, columns=["card", "merchant"]).slice(int(first), int(count)).to_pylist()
    sys.exit(asyncio.run(main(url, rows, int(rate), Path(out), patient=bool(patient))))
