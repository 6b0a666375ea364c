# {file}:4: SystemExit: 3
from __future__ import annotations

raise SystemExit(3)
