"""What the benchmarks of scoring share: definitions of three views, a filled store, a model, and a runtime with all of it."""
