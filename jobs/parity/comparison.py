"""The comparison itself, without an engine: predictions beside what history says of the same requests, tiles beside tiles.

What may differ is `features.tolerances`'s to say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.plan import ServicePlan, SourcePlan
from features.tolerances import Floats, Rule, differences, feature_rules
from inference.prediction import id_field
from jobs.parity.findings import Case, Cases, ColumnParity, Counts, Example, Parity, Timeline, sizes
from schemas.wording import span

EXAMPLES = 5
"""Of each feature, and of each kind of case."""

DUE = "#due"
"""bool, of a request: whether it should have been answered by now; all are where the column is not there."""

Rows = NDArray[np.int64]

_BEFORE = "not behind, but a window begins before what the store has"


def compare(
    service: ServicePlan,
    predictions: pa.Table,
    recomputed: pa.Table,
    *,
    requests: pa.Table | None,
    sampled: bool = False,
    timeline: Timeline | None = None,
    examples: int = EXAMPLES,
) -> Parity:
    """Compare every feature of every exact prediction.

    Args:
        service: Whose features.
        predictions: The request's fields, one column per feature, `frontier` and `stale`; in the order in which they were made.
        recomputed: The request's fields and one column per feature, from history; one row for each request that was recomputed.
        requests: The requests that were made: id, event time, perhaps `#due`; None when nobody knows, and then none is missing.
        sampled: Only some requests were recomputed. Otherwise a prediction whose request was not is extra.
        timeline: Where to count the predictions by time.
        examples: How many to keep.
    """
    source, identity = service.request, id_field(service)
    ids = np.asarray(predictions[identity].to_pylist(), dtype=object)
    at_ms, stale = _ms(predictions, source.event_time), _flags(predictions, "stale")
    names = [str(each) for each in ids]

    def cases(rows: Rows, note: str | Sequence[str] = "") -> Cases:
        notes = [note] * len(rows) if isinstance(note, str) else note
        return Cases.of((Case(at_ms=int(at_ms[row]), name=names[row], note=why) for row, why in zip(rows, notes, strict=True)), examples)

    first, repeats, others = _copies(service, predictions, ids, stale)
    row_of = {request: row for row, request in enumerate(recomputed[identity].to_pylist())}
    place = np.array([row_of.get(ids[row], -1) for row in first], dtype=np.int64)
    use, against = first[place >= 0], place[place >= 0]
    asked = _same_request(source, predictions.take(use), recomputed.take(against)) if len(use) else np.empty(0, dtype=bool)
    extra = cases(others, "a different answer to the same request") + cases(use[~asked], "another request under the same id")
    if not sampled:
        extra += cases(first[place < 0], "history has no such request")
    use, against = use[asked], against[asked]

    known = None if requests is None else set(requests[identity].to_pylist())
    missing = Cases(most=examples)
    if requests is not None and known is not None:
        strangers = np.array([row for row in range(len(ids)) if ids[row] not in known], dtype=np.int64)
        told = set(first[place < 0].tolist()) if not sampled else set()
        extra += cases(np.array([row for row in strangers.tolist() if row not in told], dtype=np.int64), "nobody asked for it")
        answered = set(ids.tolist())
        due = requests.filter(requests[DUE]) if DUE in requests.column_names else requests
        times = zip(due[identity].to_pylist(), _ms(due, source.event_time).tolist(), strict=True)
        unanswered = {each: ms for each, ms in times if each not in answered}
        missing = Cases.of((Case(at_ms=ms, name=str(each), note="no prediction") for each, ms in unanswered.items()), examples)

    behind, age_ms = _unbacked(service, predictions, at_ms, stale)
    served, again = predictions.take(use), recomputed.take(against)
    columns, wrong = compare_columns(
        feature_rules(service),
        served,
        _derived_again(service, served, again),
        names=[names[row] for row in use],
        at_ms=at_ms[use],
        key=list(source.columns),
        given=[feature.name for feature in service.request_features],
        examples=examples,
    )
    if timeline is not None:
        timeline = timeline.plus(equal=at_ms[use][~wrong], different=at_ms[use][wrong], stale=at_ms[stale])
    late = np.flatnonzero(stale)
    return Parity(
        columns=columns,
        rows=len(ids),
        missing=missing,
        extra=extra,
        stale=cases(late, [f"{_age(age_ms[row])} behind" if age_ms[row] else _BEFORE for row in late]),
        unbacked=cases(behind, [f"its frontier is {_age(age_ms[row])} behind" for row in behind]),
        repeats=repeats,
        different_rows=int(wrong.sum()),
        timeline=timeline,
    )


def compare_columns(
    rules: Mapping[str, Rule],
    online: pa.Table,
    history: pa.Table,
    *,
    names: Sequence[str],
    at_ms: Counts,
    key: Sequence[str],
    given: Sequence[str] = (),
    examples: int = EXAMPLES,
) -> tuple[tuple[ColumnParity, ...], NDArray[np.bool_]]:
    """Compare two tables of the same rows, column by column.

    Args:
        rules: Column → how well both sides must agree.
        online: n rows.
        history: n rows, in the same order.
        names: Of each row, for examples.
        at_ms: int64[n], when each row is, for examples.
        key: The columns of `online` that an example carries.
        given: Columns that are made of what was given alone, where NaN may stand for NaN.
        examples: How many to keep of each column.

    Returns:
        What was found, and bool[n]: rows with a value that differs by more than allowed.
    """
    wrong = np.zeros(len(at_ms), dtype=bool)
    found = []
    for name, rule in rules.items():
        one, other = online[name], history[name]
        apart = differences(one, other, nan_equal=name in given)
        over = np.flatnonzero(apart > rule.allowed)
        wrong[over] = True
        first = sorted(over.tolist(), key=lambda row: (at_ms[row], names[row]))[:examples]
        found.append(
            ColumnParity(
                name=name,
                rule=rule,
                compared=len(apart),
                different=len(over),
                largest=float(apart.max(initial=0.0)),
                empty=int(np.sum(np.asarray(one.is_null()) & np.asarray(other.is_null()))),
                sizes=sizes(apart),
                examples=tuple(
                    Example(
                        column=name,
                        at_ms=int(at_ms[row]),
                        name=names[row],
                        online=one[row].as_py(),
                        history=other[row].as_py(),
                        apart=float(apart[row]),
                        key={field: online[field][row].as_py() for field in key},
                    )
                    for row in first
                ),
            )
        )
    return tuple(found), wrong


def _copies(service: ServicePlan, predictions: pa.Table, ids: NDArray[Any], stale: NDArray[np.bool_]) -> tuple[Rows, int, Rows]:
    """Of each request the first exact prediction; how many repeat it; and those that answer it otherwise.

    At-least-once delivery may answer a request again: with the same values, or with stale ones, or with exact ones after stale ones.
    """
    first: dict[Any, int] = {}
    again: list[tuple[int, int]] = []
    for row in np.flatnonzero(~stale).tolist():
        before = first.setdefault(ids[row], row)
        if before != row:
            again.append((row, before))
    found = np.array(list(first.values()), dtype=np.int64)
    if not again:
        return found, 0, np.empty(0, dtype=np.int64)
    later, earlier = (np.array(rows, dtype=np.int64) for rows in zip(*again, strict=True))
    one, other = predictions.take(later), predictions.take(earlier)
    same = _same_request(service.request, one, other)
    given = {feature.name for feature in service.request_features}
    other = _derived_again(service, one, other)
    for name, rule in feature_rules(service).items():
        same &= differences(one[name], other[name], nan_equal=name in given) <= rule.allowed
    return found, int(same.sum()), later[~same]


def _same_request(source: SourcePlan, one: pa.Table, other: pa.Table) -> NDArray[np.bool_]:
    same = np.ones(len(one), dtype=bool)
    for name in source.columns:
        same &= differences(one[name], other[name], nan_equal=True) == 0.0
    return same


def _derived_again(service: ServicePlan, served: pa.Table, again: pa.Table) -> pa.Table:
    """The second side with derived features of the first side's inputs, wherever its own are the function of its own.

    Inputs may differ by their order of summation, and a difference of them, or a threshold, makes anything of that.
    """
    for derived in service.derived:
        own = again[derived.name]
        mine, theirs = (pa.chunked_array([derived.evaluate({name: side[name] for name in derived.inputs})]) for side in (served, again))
        column = pc.if_else(pa.array(differences(own, theirs) == 0.0), mine, own)
        again = again.set_column(again.column_names.index(derived.name), derived.name, column)
    return again


def _unbacked(service: ServicePlan, predictions: pa.Table, at_ms: Counts, stale: NDArray[np.bool_]) -> tuple[Rows, Floats]:
    """Predictions that claim to be exact and cannot be, and how far each one's frontier is behind what it needs, in ms.

    The frontier of a prediction is the oldest of its views'. So an exact one needs no less than the smallest boundary of them; how far
    a stale one is behind is told by the largest.
    """
    if not service.views:
        return np.empty(0, dtype=np.int64), np.zeros(len(at_ms))
    boundaries = np.array([view.boundary_ms(at_ms) for view in service.views])
    frontier: Any = predictions["frontier"]
    none = np.asarray(frontier.is_null())
    reached = np.where(none, -np.inf, np.asarray(frontier.cast(pa.int64()).fill_null(0), dtype=np.float64))
    behind = np.flatnonzero(~stale & (reached < boundaries.min(axis=0)))
    return behind, np.maximum(boundaries.max(axis=0) - reached, 0.0)


def _ms(table: pa.Table, name: str) -> Counts:
    return np.asarray(table[name].cast(pa.timestamp("ms", tz="UTC")).cast(pa.int64()), dtype=np.int64)


def _flags(table: pa.Table, name: str) -> NDArray[np.bool_]:
    return np.asarray(table[name].to_pylist(), dtype=bool)


def _age(ms: float) -> str:
    return "all the time there is" if np.isinf(ms) else span(ms)
