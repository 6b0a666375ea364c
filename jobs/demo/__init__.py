"""The demo: a month of real flights through the whole river, checked against the backfill."""
