"""The online store in Redis or Valkey, in Feast's own layout: written with an atomic compare-and-set, read in batches."""
