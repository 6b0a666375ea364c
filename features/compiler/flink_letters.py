"""The headers of dead letters and late events, in Flink SQL: why a message was put there, and where it lay. The features job's and all others'."""

from __future__ import annotations

from collections.abc import Mapping

from features.compiler.flink_text import text

REASON, TOPIC, PARTITION, OFFSET = "reason", "source_topic", "source_partition", "source_offset"

_PLACE = {TOPIC: "`_topic`", PARTITION: "CAST(`_partition` AS STRING)", OFFSET: "CAST(`_offset` AS STRING)"}


def headers(told: Mapping[str, str]) -> str:
    """The headers that a message had, and ours: what is told, of which `reason` is one, and the message's topic, partition and offset.

    Args:
        told: Name → an expression of type STRING; null is told as empty.

    Returns:
        An expression over a relation with `_headers`, `_topic`, `_partition` and `_offset`.
    """
    pairs = ",\n    ".join(f"{text(name)}, CAST(COALESCE({value}, '') AS BYTES)" for name, value in (dict(told) | _PLACE).items())
    return f"""MAP_UNION(COALESCE(`_headers`, MAP[{text(REASON)}, CAST('' AS BYTES)]), MAP[
    {pairs}
  ])"""
