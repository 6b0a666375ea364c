"""The counters and gauges that the jobs' functions add to Flink's own metrics."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.docs.reference.table import table

HEAD = """# Metrics

Metrics are Flink's own, at its REST endpoint and by whatever reporter the cluster has; the jobs' functions add these, each in the scope of its operator and subtask. Unless it says
gauge, a metric counts since the operator began.

"""

MEANINGS: Mapping[str, Mapping[str, str]] = {
    "features": {
        "messages": "read from the source's topic, markers and refused ones included",
        "markers": "that move time and count for nothing else",
        "dead_letters": "messages that the gate refused",
        "suspected_seconds": "accepted events whose time would be plausible as seconds since the epoch",
        "undecided_partitions": "gauge: partitions in which an open transaction holds records and event time back",
    },
    "materialize": {
        "batches": "of records",
        "tiles": "written",
        "closings": "taken into account for a frontier",
        "dead_letters": "tiles and closings that could not be read",
        "stores_lost": "how often the store was found to have lost data",
    },
    "score": {
        "batches": "of requests; with `predictions` it tells how batches follow the load",
        "predictions": "made",
        "dead_letters": "requests refused",
        "stale": "predictions of which a view was not exact",
        "unseen": "predictions made with a key that some view had never seen",
        "missing_shard": "requests without a shard of their own, which `--missing` decides about",
        "shard_loads": "shards of a model read from its folder",
    },
}
"""Job → metric → in words. That these are all is tested."""

_MODULES = {
    "features": ("jobs/flink/gate.py",),
    "materialize": ("jobs/flink/pipeline.py", "jobs/materialize.py"),
    "score": ("jobs/flink/pipeline.py", "jobs/score.py"),
}


def page() -> str:
    """The page."""
    sections = (
        f"## {job}\n\n" + table(("Metric", "What it counts"), ((f"`{name}`", what) for name, what in told.items()))
        for job, told in MEANINGS.items()
    )
    return HEAD + "\n".join(sections)


def registered(job: str) -> set[str]:
    """Names that a job's modules register with Flink."""
    root = Path(__file__).parents[3]
    return {name for module in _MODULES[job] for name in _names(ast.parse((root / module).read_text()))}


def _names(tree: ast.AST) -> Iterator[str]:
    """What `metrics = (…)` of a class lists, what `{… group.counter(name) for name in (…)}` goes over, and what `group.gauge(…)` names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and any(isinstance(target, ast.Name) and target.id == "metrics" for target in node.targets):
            yield from _texts(node.value)
        elif isinstance(node, ast.DictComp) and isinstance(node.value, ast.Call) and _method(node.value) == "counter":
            yield from _texts(node.generators[0].iter)
        elif isinstance(node, ast.Call) and _method(node) in ("counter", "gauge"):
            yield from _texts(node.args[0])


def _method(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


def _texts(node: ast.AST) -> Iterator[str]:
    for each in ast.walk(node):
        if isinstance(each, ast.Constant) and isinstance(each.value, str):
            yield each.value
