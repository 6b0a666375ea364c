"""What the command `tidemark` starts with; all else is in `schemas`, `features`, `inference`, `jobs` and `infra`."""
