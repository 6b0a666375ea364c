"""Prints Flink's plans of `jobs/features` for the shipped example: `python -m tests.e2e.explain_features [PARALLELISM]`. No cluster, no broker."""

from __future__ import annotations

import sys
from pathlib import Path

from features.catalog import load
from features.compiler import flink, flink_gate, flink_tiles
from infra import jars
from infra.settings import Settings
from jobs.features import Job, chosen


class Explained(Job):
    """The job with the connector's libraries, which a submitted one has from the client."""

    def _configuration(self) -> dict[str, str]:
        return super()._configuration() | {"pipeline.jars": ";".join(path.as_uri() for path in jars.classpath("flink", self._settings))}

    def print_plans(self) -> None:
        """The gate of each source, then each relation of each view, then the sinks."""
        sinks = self.statements()
        for source in self._sources:
            views = self._plan.views_of(source.name)
            sizes = sorted({view.tile_ms for view in views})
            reading = self._reading(source)
            queries = [flink_gate.messages_query(source, reading), flink_gate.gate_query(source, reading, gates=self._settings.parallelism)]
            queries += [flink.events_query(source, size) for size in sizes]
            queries += [query for view in views for query in (flink_tiles.tile_query(view), flink.closing_query(view))]
            for query in queries:
                print(self._tables.sql_query(query).explain().partition("== Optimized Execution Plan ==")[2])
        print(sinks.explain().partition("== Optimized Execution Plan ==")[2])


if __name__ == "__main__":
    plan = load(None, None)
    settings = Settings(home=Path("unused").absolute(), kafka="127.0.0.1:1", parallelism=int((sys.argv[1:] or ["1"])[0]))
    Explained(plan=plan, sources=chosen(plan, ["departures"]), settings=settings).print_plans()
