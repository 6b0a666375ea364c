"""Columns of tiles as numbers: what partials are merged on, below any meaning."""
