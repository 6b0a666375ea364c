"""One replay of the stream of readings, for all tests that look at what came of it."""

from __future__ import annotations

import dataclasses

import pytest

from infra import flink, flink_submission
from infra.settings import Settings
from tests.e2e.readings import stream
from tests.e2e.readings.run import COUNT, Run, archived, ends, generated, prepared, wait_for_the_end, wait_for_time


@pytest.fixture(scope="session")
def replay(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Half of it published first, the rest once time is so far that some of it is certain to be late; read by one job, which has ended."""
    own, plan = prepared(settings, tmp_path_factory.mktemp("replay"), "replay")
    streams = generated(plan)
    end_ms, final = ends(plan, streams)
    for name, messages in streams.items():
        streams[name] = [*messages, *map(dataclasses.replace, final)]
        stream.publish(own.kafka_servers, plan.sources[name].topic, streams[name][: COUNT // 2])
    run = Run(settings=own, plan=plan, streams=streams, end_ms=end_ms)
    job = flink_submission.submit("jobs.features", [], name="features-replay", settings=own)
    try:
        wait_for_time(run, COUNT // 2)
        for name in streams:
            stream.publish(own.kafka_servers, plan.sources[name].topic, streams[name][COUNT // 2 :])
        wait_for_the_end(run)
        for name in streams:
            archived(run, name)
    finally:
        flink.Cluster(own.flink_url).cancel(job)
    return run
