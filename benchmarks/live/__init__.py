"""What the benchmarks of a live stream share: payments of now at a steady rate, the jobs that make features of them, and a reader of the store."""
