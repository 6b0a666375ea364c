"""The online store: Feast's own Redis layout, written with an atomic compare-and-set, read in batches."""
