"""Where it runs: settings, the embedded runtime, the Flink cluster. Imported only by `jobs`."""
