"""From a backfill to a model: the rows to learn from, the boosters, the folder."""
