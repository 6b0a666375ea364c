"""TaskManagers as Flink tells of them, as far as it is read."""

from __future__ import annotations

from typing import Any


def taskmanager(*, slots: int, free: int, managed_mb: int, network_mb: int = 128) -> dict[str, Any]:
    """One; memory of all its slots."""
    memory = {"managedMemory": managed_mb << 20, "networkMemory": network_mb << 20}
    return {"id": "a", "slotsNumber": slots, "freeSlots": free, "memoryConfiguration": memory}
