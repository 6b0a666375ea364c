"""What a card has been doing, minute by minute, decoded by Flink's own Avro format."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.works.features.definitions import payments as gated

payments = replace(gated.payments, trusted=True)
card = gated.card
card_minutes = replace(gated.card_minutes, source=payments)
