"""The report as a page."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from jobs.parity.evidence import Evidence
from jobs.parity.figures import apart, when
from jobs.parity.findings import Example
from jobs.parity.report import Report, size_text, time_text, value_text
from jobs.report.page import percent, render, tiles


def page(report: Report) -> str:
    """The whole page as HTML."""
    p = report.parity
    body = [_figures(report), _when(report), _sizes(report), _table(report), _examples(report), _cases(report)]
    verdict = (
        "Nothing differs that may not."
        if not report.problems
        else f"{'; '.join(report.problems)}."[0].upper() + f"{'; '.join(report.problems)}."[1:]
    )
    title = "Online equals history" if not report.problems else "Online and history differ"
    footer = "<br>".join(escape(line) for line in report.how)
    lead = f"{report.subject[0].upper()}{report.subject[1:]}, {p.rows:,} {report.row}s as of {time_text(report.low_ms)} to {time_text(report.high_ms)}. {verdict}"
    return render(title=title, lead=lead, body="\n".join(body), footer=footer)


def _figures(report: Report) -> str:
    p = report.parity
    share = percent(p.equal / p.compared) if p.compared else "none"
    each = [
        ("Values equal", share, f"{p.equal:,} of {p.compared:,}", "ok" if p.compared and not p.different else "wrong"),
        ("Values that differ", f"{p.different:,}", f"in {p.different_rows:,} {report.row}s", "wrong" if p.different else "ok"),
        (f"Missing {report.row}s", f"{p.missing.count:,}", "history has them", "wrong" if p.missing.count else "ok"),
        (f"Extra {report.row}s", f"{p.extra.count:,}", f"delivered again: {p.repeats:,}", "wrong" if p.extra.count else "ok"),
    ]
    if report.row == "prediction":
        each += [
            ("Exact reads", percent(p.exact_share), f"{p.stale.count:,} marked stale, not compared", ""),
            ("Claimed exact, but behind", f"{p.unbacked.count:,}", "by the frontier they name", "wrong" if p.unbacked.count else "ok"),
        ]
    return tiles(*each)


def _when(report: Report) -> str:
    if report.parity.timeline is None:
        return ""
    stale = '<span class="static round">stale, not compared</span>' if report.row == "prediction" else ""
    key = f'<div class="key"><span class="live round">agree in every {report.column}</span><span class="bad round">differ in some</span>{stale}</div>'
    return f"<section><h2>When</h2>{key}{when(report.parity.timeline, report.row)}</section>"


def _sizes(report: Report) -> str:
    note = (
        "Relative differences of all compared values. Left: the same bits. The further right, the larger; a value beside nothing, or another word, "
        "has no size. Red is more than may be."
    )
    return f'<section><h2>How far apart</h2><p class="note">{note}</p>{apart(report.parity.columns)}</section>'


def _table(report: Report) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(c.name)}</code></td><td>{escape(c.rule)}</td><td class=n>{c.compared:,}</td><td class=n>{c.equal:,}</td>"
        f"<td class=n>{c.empty:,}</td><td class=n>{size_text(c.largest)}</td><td class='n {'wrong' if c.different else 'ok'}'>{c.different:,}</td></tr>"
        for c in report.parity.columns
    )
    names = ("compared", "equal", "empty in both", "largest", "differ")
    head = f"<tr><th>{report.column}</th><th>allowed</th>{''.join(f'<th class=n>{name}</th>' for name in names)}</tr>"
    return f'<section><h2>By {report.column}</h2><div class="scroll"><table>{head}{rows}</table></div></section>'


def _examples(report: Report) -> str:
    parts = [
        f"<h3><code>{escape(name)}</code></h3>{''.join(_example(example, evidence) for example, evidence in examples)}"
        for name, examples in report.evidence_by_column().items()
    ]
    if not parts:
        return ""
    note = "The first in time, with the tiles of the window as the stream sent them and as Spark makes them from the same events."
    note = note if report.evidence else "The first in time."
    return f'<section class="examples"><h2>Examples</h2><p class="note">{note}</p>{"".join(parts)}</section>'


def _example(example: Example, evidence: Evidence | None) -> str:
    values = (
        f"<b>{escape(example.name)}</b> as of {time_text(example.at_ms)}: online <code>{escape(value_text(example.online))}</code>, "
        f"history <code>{escape(value_text(example.history))}</code>"
    )
    return f'<div class="example"><p>{values}</p>{"" if evidence is None else _evidence(evidence)}</div>'


def _evidence(evidence: Evidence) -> str:
    lines = []
    if evidence.view:
        key = ", ".join(f"{name} = {value_text(value)}" for name, value in evidence.key.items())
        window = f"[{time_text(evidence.low_ms)}, {time_text(evidence.high_ms)})"
        lines.append(f'<p class="note">{escape(f"{evidence.view} of {key}, window {window}{evidence.counted}")}.</p>')
    if evidence.note:
        lines.append(f'<p class="note">{escape(evidence.note)}</p>')
    if evidence.pairs:
        head = "<tr><th>tile</th><th>online</th><th>history</th><th></th></tr>"
        rows = "".join(
            f"<tr><td>{time_text(pair.start_ms)}</td><td>{_columns(pair.online)}</td><td>{_columns(pair.history)}</td>"
            f'<td class="wrong">{pair.what}</td></tr>'
            for pair in evidence.pairs
        )
        more = evidence.different - len(evidence.pairs)
        lines.append(f'<div class="scroll"><table>{head}{rows}</table></div>' + (f'<p class="note">and {more:,} more</p>' if more else ""))
    return "".join(lines)


def _columns(values: Mapping[str, Any] | None) -> str:
    if values is None:
        return "nothing"
    return "<br>".join(f"<code>{escape(name)} {escape(value_text(value))}</code>" for name, value in values.items())


def _cases(report: Report) -> str:
    parts = []
    for kind, cases in report.kinds.items():
        rows = "".join(
            f"<tr><td><code>{escape(case.name)}</code></td><td>{time_text(case.at_ms)}</td><td>{escape(case.note)}</td></tr>"
            for case in cases.first
        )
        head = f"<tr><th>{report.row}</th><th>as of</th><th></th></tr>"
        more = f"The first {len(cases.first)} of {cases.count:,}."
        parts.append(
            f'<section><h2>{kind.capitalize()}</h2><p class="note">{more}</p><div class="scroll"><table>{head}{rows}</table></div></section>'
        )
    return "".join(parts)
