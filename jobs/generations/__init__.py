"""Generations of the store: another filled beside the one that is served, proven equal, and served in its place."""
