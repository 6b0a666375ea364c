"""From what the replay left behind to what it shows: predictions, dead letters, equality, quality, latency, versions."""

from __future__ import annotations

import json
import platform
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.compiler.flink_letters import OFFSET, PARTITION, REASON, TOPIC
from features.plan import Plan, ServicePlan
from inference.model.evaluation import auc, log_loss
from inference.model.loading import load as load_model
from inference.online.connection import connect
from infra.settings import Settings
from jobs.demo.labels import happened, latencies_ms
from jobs.demo.replay import Position, SentCounts
from jobs.demo.report import FaultCount, Findings, page
from jobs.demo.topic_follower import Record
from jobs.parity.comparison import compare
from jobs.parity.predictions import prediction_table
from schemas.errors import DataError
from schemas.machine_code import keep_in
from schemas.schema import SchemaSet


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a replay left behind.

    Attributes:
        plan: The definitions.
        service: Whose requests were scored.
        schemas: Of its sources.
        settings: Of the runtime, which still runs.
        tally: What went in.
        records: What was read from predictions, dead-letter and late topics, most of it while the replay ran.
        backfilled: What Spark says of the same requests.
        outcomes: Source name → all its events; the label's tells what happened.
        tiles: How many were written.
        throughput_events_per_s: Of the features job while it caught up.
        days: How many were replayed.
        model: Folder of the model that answered, with the static one beside it.
    """

    plan: Plan
    service: ServicePlan
    schemas: SchemaSet
    settings: Settings
    tally: SentCounts
    records: list[Record]
    backfilled: pa.Table
    outcomes: Mapping[str, pa.Table]
    tiles: int
    throughput_events_per_s: float
    days: int
    model: Path


def judge(evidence: Evidence, *, wall_s: float) -> Findings:
    """Measure everything.

    Raises:
        TidemarkError: A service that went away, or a prediction that cannot be read.
    """
    service = evidence.service
    answers = [record for record in evidence.records if record.topic == service.predictions_topic and record.value is not None]
    served = prediction_table(service, evidence.schemas, (record.value for record in answers if record.value is not None))
    if not len(served) or service.label is None:
        raise DataError(
            f"demo: no prediction came to {service.predictions_topic}; see `tidemark jobs` and the logs in {evidence.settings.home / 'logs'}"
        )
    parity = compare(service, served, evidence.backfilled, requests=evidence.backfilled)
    letters = _letters(evidence)
    latency = latencies_ms(
        evidence.tally.asked_ns, zip(map(str, served["request_id"].to_pylist()), (record.read_ns for record in answers), strict=True)
    )

    keep_in(evidence.settings.machine_code)
    scored = served.to_pandas()
    scored["static_score"] = load_model(evidence.model / "static").predict(served)
    scored["happened"] = np.array(happened(service.label, evidence.outcomes[service.label.source.name], served["request_id"]), dtype=object)
    scored["happened"] = scored["happened"].astype("boolean")
    known = scored.dropna(subset=["happened"])
    truth, live, static = (
        known[name].to_numpy(dtype=kind) for name, kind in (("happened", bool), ("score", np.float64), ("static_score", np.float64))
    )
    summary = {
        "events": evidence.tally.events,
        "dead_letters": len(letters),
        "injected_bad": len(evidence.tally.bad),
        "tiles": evidence.tiles,
        "predictions": len(served),
        "exact_share": parity.exact_share,
        "parity": parity.summary(),
        "auc_live": auc(truth, live),
        "auc_static": auc(truth, static),
        "log_loss_live": log_loss(truth, live),
        "throughput_events_per_s": evidence.throughput_events_per_s,
        "latency_ms": {"p50": float(np.percentile(latency, 50)), "p99": float(np.percentile(latency, 99))},
        "wall_s": wall_s,
        "versions": versions(evidence.settings),
    }
    return Findings(
        summary=summary,
        served=served,
        scored=scored,
        parity=parity,
        faults=_faults(evidence.tally.bad, letters),
        late=sum(record.topic.endswith(".late") for record in evidence.records),
        repeats=evidence.tally.repeats,
        latency_ms=latency,
        days=evidence.days,
    )


def write(findings: Findings, folder: Path) -> Path:
    """Leave `predictions.parquet`, `report.json` and `report.html`; returns the last."""
    pq.write_table(findings.served, folder / "predictions.parquet")
    (folder / "report.json").write_text(json.dumps(findings.summary, indent=2) + "\n")
    (folder / "report.html").write_text(page(findings), encoding="utf-8")
    return folder / "report.html"


def _letters(evidence: Evidence) -> dict[Position, str]:
    """Every dead letter: where the record lay, and the reason given."""
    headers = [record.headers for record in evidence.records if record.topic.endswith(".dlq")]
    return {(each[TOPIC], int(each[PARTITION]), int(each[OFFSET])): each[REASON] for each in headers}


def _faults(bad: Mapping[Position, str], letters: Mapping[Position, str]) -> list[FaultCount]:
    """By kind, in the order of injection; what nobody injected comes last."""
    injected = Counter(bad.values())
    found = Counter(kind for position, kind in bad.items() if position in letters)
    reasons = {kind: letters[position] for position, kind in reversed(list(bad.items())) if position in letters}
    counts = [FaultCount(kind=kind, injected=count, found=found[kind], reason=reasons.get(kind, "")) for kind, count in injected.items()]
    strangers = [reason for position, reason in letters.items() if position not in bad]
    return (
        [*counts, FaultCount(kind="refused, though not put in", injected=0, found=len(strangers), reason=strangers[0])]
        if strangers
        else counts
    )


def versions(settings: Settings) -> dict[str, str]:
    """Of what took part."""
    packages = {
        "tidemark": "tidemark",
        "flink": "apache-flink",
        "spark": "pyspark",
        "feast": "feast",
        "lightgbm": "lightgbm",
        "pyarrow": "pyarrow",
    }
    own = {name: version(package) for name, package in packages.items()}
    valkey = connect(settings.redis_url).server_version()
    return own | {"kafka": _kafka_version(), "valkey": valkey, "python": platform.python_version()}


def _kafka_version() -> str:
    lock = tomllib.loads(files("infra").joinpath("maven/kafka/jgo.lock.toml").read_text())
    return next(str(entry["version"]) for entry in lock["dependencies"] if entry["artifactId"] == "kafka_2.13")


def problems(findings: Findings) -> list[str]:
    """What should not be: empty when the river ran as promised."""
    s, parity = findings.summary, findings.parity
    found = sum(fault.found for fault in findings.faults if fault.injected)
    told: Iterable[tuple[bool, str]] = (
        (parity.different > 0, f"{parity.different} of {parity.compared} served values differ from the backfill"),
        (parity.missing.count > 0, f"{parity.missing.count} requests have no prediction"),
        (parity.extra.count > 0, f"{parity.extra.count} predictions answer no request, or one that was answered otherwise"),
        (parity.unbacked.count > 0, f"{parity.unbacked.count} predictions claim to be exact with a frontier that is behind"),
        (found < s["injected_bad"], f"{s['injected_bad'] - found} of {s['injected_bad']} bad records are in no dead-letter topic"),
        (s["dead_letters"] > found, f"{s['dead_letters'] - found} good records were refused"),
    )
    return [line for wrong, line in told if wrong]
