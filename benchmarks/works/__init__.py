"""The works that are measured: each module or package here has a `BENCHMARK`."""
