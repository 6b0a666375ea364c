"""A kit for the tests of definitions: events in, features as of an instant out, in milliseconds, without services.

rows ─Gate─▶ events with the watermark that judges each, dead letters ─counted─▶ on time, once ─tiles_of─▶ tiles ─the kernel─▶ values

What decides is what decides in the jobs: the gate's decoder, the expressions, the merge of partials and the fold are the same code. Only the
order of arrival is simpler: each source is one partition, and time moves with its records.
"""

from __future__ import annotations

from features.testing.gate import DeadLetter, heartbeat
from features.testing.harness import Harness, load, replay
from features.testing.seen import Seen, Served

__all__ = ["DeadLetter", "Harness", "Seen", "Served", "heartbeat", "load", "replay"]
