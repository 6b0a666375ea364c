"""Two topics of the same readings: one whose repeats are counted once, one where every message counts; and one of questions about them."""

from __future__ import annotations

from datetime import timedelta

from features import Entity, Source

lateness, horizon = timedelta(seconds=20), timedelta(hours=1)

once = Source(topic="e2e.once", schema="reading", lateness=lateness, id="reading_id", dedupe=horizon)
every = Source(topic="e2e.every", schema="reading", lateness=lateness)
questions = Source(topic="e2e.questions", schema="question", lateness=lateness, id="question_id")

meter = Entity(keys=["meter"])
place = Entity(keys=["meter", "room"])
