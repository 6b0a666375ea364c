"""What a comparison says, whatever was compared: read by the terminal, by programs and by people."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from jobs.parity.evidence import Evidence
from jobs.parity.findings import DECADES, Cases, ColumnParity, Example, Parity
from schemas.wording import quantity

SIZE_NAMES = ("0", *(f"1e{power}" for power in DECADES[:-1]), "1", "above 1", "no size")
"""Of `findings.sizes`: the largest difference of each size."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything that is shown.

    Attributes:
        subject: What was compared, e.g. `service flight_delay`.
        row: What a row is called: prediction, tile.
        column: What a column is called: feature, column.
        parity: The findings.
        evidence: Of each example of each column, in that order; empty for tiles.
        low_ms, high_ms: From when to when.
        how: How it was compared, a sentence each.
        facts: More for programs.
    """

    subject: str
    row: str
    column: str
    parity: Parity
    evidence: Sequence[Evidence]
    low_ms: int
    high_ms: int
    how: Sequence[str]
    facts: Mapping[str, object]

    @property
    def problems(self) -> list[str]:
        """What DESIGN §3 forbids, a line each; empty when all is well."""
        p, rows = self.parity, f"{self.row}s"
        nothing = "nothing was compared" + (f": every {self.row} was stale" if p.stale.count == p.rows and p.rows else "")
        told = (
            (p.different > 0, f"{p.different:,} of {p.compared:,} values differ, in {quantity(p.different_rows, self.row)}"),
            (p.missing.count > 0, f"{quantity(p.missing.count, self.row)} missing"),
            (p.extra.count > 0, f"{quantity(p.extra.count, self.row)} too many"),
            (p.unbacked.count > 0, f"{p.unbacked.count:,} {rows} claim to be exact with a frontier that is behind"),
            (p.compared == 0 and not p.missing.count and not p.extra.count, nothing),
        )
        return [line for wrong, line in told if wrong]

    @property
    def kinds(self) -> dict[str, Cases]:
        """Cases by kind, those that are there."""
        p = self.parity
        kinds = {"missing": p.missing, "extra": p.extra, "claims to be exact": p.unbacked, "stale": p.stale}
        return {kind: cases for kind, cases in kinds.items() if cases.count}

    def evidence_by_column(self) -> dict[str, list[tuple[Example, Evidence | None]]]:
        """Column → its examples, with their tiles where they were looked up."""
        left = iter(self.evidence)
        return {
            column.name: [(example, next(left, None)) for example in column.examples] for column in self.parity.columns if column.examples
        }

    def document(self) -> dict[str, object]:
        """As written to `parity.json`."""
        p = self.parity
        examples = self.evidence_by_column()
        return {
            "subject": self.subject,
            "allowed": not self.problems,
            "problems": self.problems,
            "from": time_text(self.low_ms),
            "until": time_text(self.high_ms),
            **p.summary(),
            f"{self.row}s": p.rows,
            "stale": p.stale.count,
            "unbacked": p.unbacked.count,
            "repeats": p.repeats,
            f"different_{self.row}s": p.different_rows,
            f"{self.column}s": [_column(column, examples.get(column.name, [])) for column in p.columns],
            "cases": {
                kind: [{"at": time_text(case.at_ms), "name": case.name, "note": case.note} for case in cases.first]
                for kind, cases in self.kinds.items()
            },
            "how": list(self.how),
            **self.facts,
        }


def _column(column: ColumnParity, examples: Sequence[tuple[Example, Evidence | None]]) -> dict[str, object]:
    return {
        "name": column.name,
        "rule": str(column.rule),
        "compared": column.compared,
        "equal": column.equal,
        "different": column.different,
        "empty": column.empty,
        "largest": plain(column.largest),
        "sizes": {name: int(count) for name, count in zip(SIZE_NAMES, column.sizes, strict=True) if count},
        "examples": [_example(example, evidence) for example, evidence in examples],
    }


def _example(example: Example, evidence: Evidence | None) -> dict[str, object]:
    own: dict[str, object] = {
        "name": example.name,
        "at": time_text(example.at_ms),
        "online": plain(example.online),
        "history": plain(example.history),
        "difference": plain(example.apart),
    }
    if evidence is None:
        return own
    return own | {
        "view": evidence.view,
        "key": plain(evidence.key),
        "window": [time_text(evidence.low_ms), time_text(evidence.high_ms)],
        "tiles_alike": evidence.alike,
        "tiles_different": evidence.different,
        "tiles": [
            {"start": time_text(pair.start_ms), "what": pair.what, "online": plain(pair.online), "history": plain(pair.history)}
            for pair in evidence.pairs
        ],
        "note": evidence.note,
    }


def plain(value: Any) -> Any:
    """A value as JSON has it: times as text, infinite and undefined numbers as words."""
    match value:
        case datetime():
            return time_text((value - _EPOCH) // timedelta(milliseconds=1))
        case float() if not math.isfinite(value):
            return {math.inf: "infinite", -math.inf: "-infinite"}.get(value, "nan")
        case Mapping():
            return {str(name): plain(item) for name, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
        case bytes():
            return value.hex()
        case _:
            return value


def time_text(ms: int) -> str:
    """UTC, to the millisecond where there are any."""
    at = _EPOCH + timedelta(milliseconds=ms)
    return at.isoformat(timespec="milliseconds" if ms % 1000 else "seconds").replace("+00:00", "Z")


def size_text(apart: float) -> str:
    """A relative difference, short."""
    return "0" if apart == 0.0 else "no size" if math.isinf(apart) else f"{apart:.1e}" if apart < 0.01 else f"{apart:.2f}"


def value_text(value: Any) -> str:
    """A value in all its digits."""
    value = plain(value)
    return "null" if value is None else repr(value) if isinstance(value, float) else str(value)
