"""What the benchmarks of the online store share: payments, their tiles and features, a Valkey, Feast's store. Feast's own environment imports it too."""
