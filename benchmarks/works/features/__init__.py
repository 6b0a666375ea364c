"""Two million payments of 4,000 cards as tiles of a minute, from Kafka to Kafka."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks import services
from benchmarks.benchmark import Benchmark, Contender, Figures, Goal, Role, Workspace
from benchmarks.environments import python
from benchmarks.services import Job
from benchmarks.works.features import check, inputs, ours
from infra.settings import Settings

HERE = Path(__file__).parent
SCHEMA = inputs.SCHEMAS / "payment.avsc"
GATE, TRUSTED = "Tidemark", "Tidemark, a trusted source"
CONSUMERS, RAW, QUIX, BYTEWAX, PATHWAY = "two consumers", "Flink, raw bytes", "Quix Streams", "bytewax", "Pathway"
PEERS = (QUIX, BYTEWAX, PATHWAY)
VIEW, SOURCE = "card_minutes", "payments"
WRITTEN = "written.parquet"

_GATE = (
    "`tidemark submit features` with checkpoints and `TIDEMARK_BUNDLE_TIME=50ms`: every event checked at the gate, archived as Parquet and counted once or "
    "sent to the late topic, tiles as Avro; parallelism 1, which is faster here than 2, since operators run beside each other anyway"
)
_TRUSTED = "the same with `trusted=True`: decoded by Flink's own Avro format, without the gate"
_QUIX = (
    "two processes of one consumer group, events decoded by fastavro; final windows, closed for a whole partition, state in RocksDB with a changelog "
    "topic; tiles as JSON"
)
_BYTEWAX = "two processes of one cluster, events decoded by fastavro in batches; `fold_window` by event time, nothing kept for recovery; tiles as JSON"
_PATHWAY = (
    "one process of two threads, raw bytes decoded by fastavro in a batched UDF; grouped sums, which are corrected with each commit, nothing kept for "
    "recovery; tiles as JSON"
)


@dataclass(frozen=True, kw_only=True)
class _Work:
    """The runtime, and what is to be done in it."""

    settings: Settings
    events: int
    truth: Path


def prepare(workspace: Workspace) -> list[Contender]:
    """The runtime, the events in its Kafka, and the tiles that must come of them."""
    settings, truth = replace(services.start(workspace), schemas=inputs.SCHEMAS), workspace.folder / "tiles.parquet"
    events = 200_000 if workspace.quick else 2_000_000
    inputs.ensure(settings, truth, inputs.Payments(count=events))
    work = _Work(settings=settings, events=events, truth=truth)
    return [
        _ours(GATE, "definitions", _GATE, work),
        _ours(TRUSTED, "trusted", _TRUSTED, work),
        _consumers(work),
        _raw(work),
        _peer(QUIX, _QUIX, python(workspace.peers, "quix"), "in_quix.py", work),
        _peer(BYTEWAX, _BYTEWAX, python(workspace.peers, "bytewax"), "in_bytewax.py", work),
        _peer(PATHWAY, _PATHWAY, python(workspace.peers, "pathway"), "in_pathway.py", work),
    ]


def _ours(name: str, definitions: str, what: str, work: _Work) -> Contender:
    settings = replace(work.settings, definitions=HERE / definitions, parallelism=1)
    return ours.contender(name, what, ours.Work(settings=settings, source=SOURCE, events=work.events, truths={VIEW: work.truth}))


def _raw(work: _Work) -> Contender:
    job = Job(name="count-raw", module=f"{__name__}.count_raw", records={inputs.TILES: work.events // inputs.EVENTS_PER_MINUTE})
    return Contender(
        name=RAW,
        role=Role.LIMIT,
        what="Flink SQL on the same cluster that reads raw bytes and counts the events of each minute by Kafka's own time",
        run=lambda out: ours.on_flink(job, work.settings, {inputs.TILES: out / WRITTEN}, events=work.events),
        check=lambda out: check.counted(out / WRITTEN, work.events),
    )


def _consumers(work: _Work) -> Contender:
    def right(out: Path) -> None:
        check.counted(out / WRITTEN, work.events + inputs.PARTITIONS)

    what = "confluent-kafka and fastavro alone: two processes read and decode a partition each, and count"
    return Contender(name=CONSUMERS, role=Role.LIMIT, what=what, run=_in_python(Path(sys.executable), "consume.py", work), check=right)


def _peer(name: str, what: str, interpreter: Path, program: str, work: _Work) -> Contender:
    def right(out: Path) -> None:
        check.right(check.of_json(out / WRITTEN), work.truth)

    return Contender(name=name, role=Role.PEER, what=what, run=_in_python(interpreter, program, work), check=right)


def _in_python(interpreter: Path, program: str, work: _Work) -> Callable[[Path], Figures]:
    def run(out: Path) -> Figures:
        settings = work.settings
        services.empty(settings, inputs.TILES)
        command: Sequence[str | Path] = [interpreter, HERE / program, settings.kafka_servers, inputs.TOPIC, SCHEMA, inputs.TILES]
        started_at = time.time()
        began_at, figures = services.in_python(command, out)
        files = {inputs.TILES: out / WRITTEN}
        told = services.written(settings, files, events=work.events, started_at=started_at, began_at=began_at)
        return {**figures, **told}

    return run


BENCHMARK = Benchmark(
    title=(
        "Features: 2 million Avro payments of 4,000 cards from Kafka as count, sum and maximum of each card's minutes (1.3 million tiles) in Kafka; "
        "from the first event read (of Flink: from when the first task runs) to the last tile written"
    ),
    prepare=prepare,
    end=services.end,
    goals=(
        Goal(name="features_vs_best_peer", figure="events_per_s", of=GATE, to=PEERS, at_least=2.0),
        Goal(name="features_trusted_vs_best_peer", figure="events_per_s", of=TRUSTED, to=PEERS, at_least=3.0),
    ),
    peers=("quix", "bytewax", "pathway"),
    in_quick=False,  # of a small input it would tell how fast processes start
)
