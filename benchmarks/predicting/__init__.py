"""The back ends of the benchmark of predictions, which run in environments that have little else."""
