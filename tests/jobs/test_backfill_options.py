"""What a backfill is told, before anything is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from features.catalog import load
from jobs.spark.backfill import Backfill
from jobs.spark.options import events_of
from schemas.errors import SettingError
from schemas.schema import SHIPPED, SchemaSet


def test_only_the_word_kafka_means_topics_and_a_folder_of_that_name_can_be_named() -> None:
    assert events_of("kafka") is None
    assert [events_of(said) for said in ("./kafka", "kafka/", "a/kafka")] == [Path("kafka"), Path("kafka"), Path("a/kafka")]


@pytest.mark.parametrize("until_ms", [1_000, 0])
def test_a_time_that_ends_before_it_begins_is_refused(until_ms: int) -> None:
    service = load(None, None).services["flight_delay"]
    with pytest.raises(
        SettingError, match=r"^--from: 1970-01-01T00:00:01.000Z is not before --until 1970-01-01T00:00:0.*; allowed is an earlier"
    ):
        Backfill(service=service, schemas=SchemaSet.load(SHIPPED), events=Path(), requests=Path(), from_ms=1_000, until_ms=until_ms)
