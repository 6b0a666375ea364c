"""The example: a month of real flights through the whole river, and every served value checked against the backfill."""
