"""What librdkafka says of an error, as people are told it; whose fault it is, `broker_fault` says."""

from __future__ import annotations

import re

from confluent_kafka import KafkaError

from schemas.wording import sentence

_WHO = re.compile(r"\b(?:Broker|Local): ")


def error_text(error: KafkaError) -> str:
    """Its words, without who says them."""
    return _WHO.sub("", sentence(error.str() or error.name()))
