"""A job's graph: what it needs of a cluster, counted by Flink's own plan of it, and its way there; what does not fit is refused ahead of it.

Flink itself would take the graph, wait for slots that never come, or fail at the first window operator that finds too little memory.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from pyflink.datastream import StreamExecutionEnvironment
from pyflink.java_gateway import get_gateway
from pyflink.table import StatementSet

from infra.flink_needs import Needs, buffer_bytes
from infra.flink_submission import wait_for_room
from infra.settings import Settings
from jobs.flink import topics_read


def submit(statements: StatementSet, environment: StreamExecutionEnvironment, settings: Settings, *, reads: Iterable[str]) -> None:
    """Submit all statements as one job, named as the configuration of the client says.

    Args:
        statements: What it writes.
        environment: Of its tables.
        settings: Say where the cluster is.
        reads: The topics that it reads.

    Raises:
        ServiceError: The cluster has no room for it; says what would do.
    """
    statements.attach_as_datastream()
    environment.get_config().set_global_job_parameters(topics_read.parameters(reads))
    graph = environment._generate_stream_graph(clear_transformations=True)
    needed = needs(graph, settings)
    print(f"needs of the graph: {needed}")  # in the log of the submission
    wait_for_room(needed, settings)
    environment._j_stream_execution_environment.executeAsync(graph)


def needs(graph: Any, settings: Settings) -> Needs:
    """What a stream graph (Java's) takes to start.

    A slot holds a subtask of each operator of its group, and divides its managed memory by their weights: the lightest has the least.
    """
    operator = get_gateway().jvm.org.apache.flink.core.memory.ManagedMemoryUseCase.OPERATOR
    slots: dict[str, int] = defaultdict(int)
    weights: dict[str, list[int]] = defaultdict(list)
    python = False
    for node in _each(graph.getStreamNodes()):
        group = str(node.getSlotSharingGroup())
        slots[group] = max(slots[group], int(node.getParallelism()))
        if (weight := node.getManagedMemoryOperatorScopeUseCaseWeights().get(operator)) is not None:
            weights[group].append(int(weight))
        python = python or not node.getManagedMemorySlotScopeUseCases().isEmpty()
    least = buffer_bytes(settings)
    managed = max((-(-least * sum(own) // min(own)) for own in weights.values() if own), default=0)
    operators = max(map(len, weights.values()), default=0)
    return Needs(slots=sum(slots.values()), window_operators=operators, managed_bytes=managed, python=python, buffers=_buffers(graph))


def _buffers(graph: Any) -> int:
    """Network buffers that the job's exchanges hold at least: two for each channel and one for its gate, one for each subpartition and one beside."""
    count = 0
    for vertex in _each(graph.getJobGraph().getVertices()):
        parallelism = int(vertex.getParallelism())
        for edge in _each(vertex.getInputs()):
            producers = int(edge.getSource().getProducer().getParallelism())
            channels = producers * parallelism if str(edge.getDistributionPattern()) == "ALL_TO_ALL" else max(producers, parallelism)
            count += 3 * channels + parallelism + producers
    return count


def _each(collection: Any) -> Iterator[Any]:
    """The elements of a collection of Java's, which py4j does not iterate."""
    iterator = collection.iterator()
    while iterator.hasNext():
        yield iterator.next()
