"""What a job needs of a Flink cluster, what a cluster has, and whether the one fits into the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.settings import Settings

_MEBI = 1 << 20
_BUCKETS_BYTES = _MEBI  # what a window operator's map begins with: Flink's `BytesMap`, "The minBucketMemorySize is not valid!"
_PAGE_BYTES = 32 << 10  # of managed and of network memory: `taskmanager.memory.segment-size`
_STEP_BYTES = 16 * _MEBI  # what is proposed is a multiple of it
_WEIGHTS = "OPERATOR:70,STATE_BACKEND:70,PYTHON:30"  # Flink's own `taskmanager.memory.managed.consumer-weights`
_ON_DEMAND = ("kubernetes.cluster-id", "yarn.application.id")  # clusters that start a TaskManager when a job asks for a slot


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a job takes to start.

    Attributes:
        slots: At a time.
        window_operators: That share a slot.
        managed_bytes: Of a slot's managed memory, for them.
        python: Whether Python workers share it.
        buffers: Of the network, at least.
    """

    slots: int
    window_operators: int = 0
    managed_bytes: int = 0
    python: bool = False
    buffers: int = 0


@dataclass(frozen=True, kw_only=True)
class Room:
    """What a cluster has.

    Attributes:
        taskmanagers: That are there.
        slots: Of them all.
        free: That no job holds.
        slot_bytes: Managed memory of a slot.
        buffers: Of the network, of them all.
        weights: How a slot's managed memory is divided, by what uses it.
        state_is_managed: Whether state takes its part of it.
        on_demand: Whether it grows when a job asks for more.
        jobs: Names of those that run.
    """

    taskmanagers: int
    slots: int
    free: int
    slot_bytes: int
    buffers: int
    weights: Mapping[str, int]
    state_is_managed: bool
    on_demand: bool
    jobs: Sequence[str]

    @classmethod
    def of(cls, taskmanagers: Sequence[Mapping[str, Any]], configuration: Mapping[str, str], jobs: Sequence[str]) -> Room:
        """From what Flink's REST endpoint tells."""
        weights = configuration.get("taskmanager.memory.managed.consumer-weights") or _WEIGHTS
        memory = [each["memoryConfiguration"] for each in taskmanagers]
        slots = [int(each["slotsNumber"]) for each in taskmanagers]
        shares = [int(own["managedMemory"]) // max(count, 1) for own, count in zip(memory, slots, strict=True)]
        return cls(
            taskmanagers=len(taskmanagers),
            slots=sum(slots),
            free=sum(int(each["freeSlots"]) for each in taskmanagers),
            slot_bytes=min(shares, default=0),
            buffers=sum(int(own["networkMemory"]) // _PAGE_BYTES for own in memory),
            weights={name.strip(): int(weight) for name, _, weight in (part.partition(":") for part in weights.split(","))},
            state_is_managed=configuration.get("state.backend.type", "hashmap") != "hashmap",
            on_demand=any(configuration.get(key) for key in _ON_DEMAND),
            jobs=tuple(jobs),
        )

    def slot_bytes_for(self, needs: Needs) -> int:
        """The managed memory that a slot must have, so that window operators have theirs beside what else uses it."""
        operators = self.weights.get("OPERATOR", 0)
        others = self.weights.get("PYTHON", 0) * needs.python + self.weights.get("STATE_BACKEND", 0) * self.state_is_managed
        return -(-needs.managed_bytes * (operators + others) // max(operators, 1))


def buffer_bytes(settings: Settings) -> int:
    """What each window operator must have: its map's buckets, and room for one row that is as long as a record may be; else that row ends the job."""
    return _BUCKETS_BYTES + settings.max_record_bytes + 4 * _PAGE_BYTES


def expected_taskmanagers(settings: Settings) -> int:
    """How many TaskManagers there are when none is lost; of a cluster that is not the embedded one, at least one is all that is known."""
    return settings.flink_taskmanagers if settings.flink is None else 1


def misfit(needs: Needs, room: Room, settings: Settings) -> str | None:
    """Why the job cannot start on the cluster as it is, and what would do, all at once; None where it can."""
    embedded = settings.flink is None
    if room.on_demand:
        return None
    if not room.taskmanagers:
        return "the cluster has no TaskManager; " + ("one that was lost is replaced, see `tidemark status`" if embedded else "start one")
    lacks, remedies = list[str](), list[str]()
    few_slots, little_memory = needs.slots > room.free, (slot_bytes := room.slot_bytes_for(needs)) > room.slot_bytes
    if few_slots:
        running = f"; {', '.join(room.jobs)} run{'s' * (len(room.jobs) == 1)}" if room.jobs else ""
        more = room.slots + needs.slots - room.free
        lacks.append(f"it needs {needs.slots} slots, {room.free} of {room.slots} are free{running}")
        remedies.append(f"TIDEMARK_FLINK_SLOTS={more}" if embedded else f"give the cluster {more} slots")
    if little_memory:
        wanted, have = _proposed(slot_bytes), room.slot_bytes // _MEBI
        lacks.append(f"its {needs.window_operators} window operators need {wanted} MB of a slot, and a slot of the cluster has {have} MB")
        remedies.append(
            f"TIDEMARK_FLINK_SLOT_MEMORY={wanted}MB" if embedded else f"taskmanager.memory.managed.size of {wanted} MB for each slot"
        )
    if needs.buffers > room.buffers:
        wanted = _proposed(needs.buffers * _PAGE_BYTES)
        lacks.append(f"its exchanges need {needs.buffers} network buffers, and the cluster has {room.buffers}")
        remedies.append(f"TIDEMARK_FLINK_NETWORK_MEMORY={wanted}MB" if embedded else f"taskmanager.memory.network.max of {wanted} MB")
    if not lacks:
        return None
    told = "`tidemark cancel` what is not needed, or " * few_slots + " and ".join(remedies)
    again = ", then `tidemark down` and `tidemark up`" * embedded
    return f"{'; '.join(lacks)}: {told}{again}{'; or begin views in jobs of their own (--only)' * little_memory}"


def _proposed(least_bytes: int) -> int:
    """In MB."""
    return -(-least_bytes // _STEP_BYTES) * _STEP_BYTES // _MEBI
