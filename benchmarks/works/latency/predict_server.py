"""A predict server that asks Feast's feature server: `python predict_server.py MODEL FEAST_URL PORT NAMES`, in the peer's environment.

NAMES are the model's columns, with commas between.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import lightgbm as lgb
import numpy as np
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

SERVICE = "payment_scores"


class Payment(BaseModel):
    """A request."""

    card: str
    merchant: str


def served(model: Path, feast: str, names: list[str]) -> FastAPI:
    """The application."""
    booster = lgb.Booster(model_file=model)
    sessions: list[aiohttp.ClientSession] = []

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=64)) as session:
            sessions.append(session)
            yield

    app = FastAPI(lifespan=life)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/predict")
    async def predict(payment: Payment) -> dict[str, float]:
        asked = {"feature_service": SERVICE, "entities": {"card": [payment.card], "merchant": [payment.merchant]}}
        async with sessions[0].post(f"{feast}/get-online-features", json=asked, raise_for_status=True) as answer:
            found = await answer.json()
        values = {name: each["values"][0] for name, each in zip(found["metadata"]["feature_names"], found["results"], strict=True)}
        (score,) = booster.predict(np.array([[values[name] for name in names]], dtype=np.float64), num_threads=1)
        return {"score": float(score)}

    return app


if __name__ == "__main__":
    app = served(Path(sys.argv[1]), sys.argv[2], sys.argv[4].split(","))
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[3]), access_log=False, log_level="warning", timeout_keep_alive=60)
