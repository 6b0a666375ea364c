"""Which generation of the store is served, and which job writes each: the record of `inference.online.active_generation`, in the store and in the control topic."""

from __future__ import annotations

import json

from inference.online import active_generation
from inference.online.active_generation import ActiveGeneration
from inference.online.store import OnlineStore
from infra.settings import Settings
from jobs.control import topic
from schemas.errors import ServiceError

KIND = "serving"
"""The record's key in the control topic."""


def read_active(settings: Settings, store: OnlineStore) -> ActiveGeneration:
    """What is served, of the store's record and the control topic's the later; the other one is told.

    Raises:
        DataError: A record is damaged.
        ServiceError: Kafka or the store does not answer.
    """
    logged = topic.records(settings).get(KIND)
    in_log = ActiveGeneration() if logged is None else ActiveGeneration.of(json.dumps(logged).encode())
    in_store = active_generation.read_active(store)
    if in_store.number > in_log.number:
        _log(settings, in_store)
    elif in_log.number > in_store.number:
        active_generation.serve(store, in_log)
    return max(in_log, in_store, key=lambda record: record.number)


def serve(settings: Settings, store: OnlineStore, record: ActiveGeneration) -> None:
    """Put a record in force: in the store, from where readers take it with their next batch, then in the control topic.

    Raises:
        ServiceError: Kafka or the store does not answer, or somebody else has put one in force meanwhile.
    """
    if not active_generation.serve(store, record):
        raise ServiceError("switch: somebody else has switched meanwhile; nothing was changed; see what is served and run it again")
    _log(settings, record)


def job_name(generation: int) -> str:
    """The name of the job that writes a generation."""
    return "materialize" if generation == 1 else f"materialize-g{generation}"


def _log(settings: Settings, record: ActiveGeneration) -> None:
    topic.publish(settings, {KIND: json.loads(record.record())})
