# {file}:4: no "evnts" in .sources; did you mean "events"?
from __future__ import annotations

from .sources import evnts

x = evnts
