"""What happened to the demo's requests: in the world, and on the way to their predictions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa

from features.plan import LabelPlan


def happened(label: LabelPlan, events: pa.Table, ids: pa.ChunkedArray[Any]) -> list[bool | None]:
    """What then happened to each request, null where no event says.

    Args:
        label: Of the service.
        events: Of the label's source.
        ids: Of the requests.
    """
    known = dict(zip(events[label.on].to_pylist(), label.value.evaluate(events).to_pylist(), strict=True))
    return [known.get(identity) for identity in ids.to_pylist()]


def latencies_ms(asked_ns: dict[str, int], answered_ns: Iterable[tuple[str, int]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """From publishing each request to reading its first prediction."""
    first: dict[str, int] = {}
    for identity, read_ns in answered_ns:
        first.setdefault(identity, read_ns)
    return np.array([(first[identity] - asked) / 1e6 for identity, asked in asked_ns.items() if identity in first], dtype=np.float64)
