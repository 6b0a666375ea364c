# {file}:4: no "Cuont" in features; did you mean "Count"?
from __future__ import annotations

from features import Cuont

x = Cuont
