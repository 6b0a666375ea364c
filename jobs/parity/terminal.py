"""The report on a terminal: a table, what is wrong, and the first example of each feature that differs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from jobs.parity.report import Report, size_text, time_text, value_text


class Steps:
    """What is being done, while it is done; nothing where there is no terminal."""

    def __init__(self, console: Console) -> None:
        """Prepare."""
        self._console = console

    @contextmanager
    def during(self, what: str) -> Iterator[None]:
        """Show it for as long as the block."""
        self._under_way.append(what)
        self._status.update(f"{what} …")
        yield
        self._under_way.pop()
        self._status.update(f"{self._under_way[-1]} …" if self._under_way else "")

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._under_way: list[str] = []
        self._status = self._console.status("")
        if self._console.is_terminal:
            self._status.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Leave the terminal as it was."""
        self._status.stop()


def show(report: Report, console: Console) -> None:
    """Print it."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(report.column)
    for name in ("allowed", "compared", "equal", "differing", "largest"):
        table.add_column(name, justify="right")
    for column in report.parity.columns:
        wrong = "red" if column.different else "green"
        figures = (f"{column.compared:,}", f"{column.equal:,}", f"[{wrong}]{column.different:,}[/]", size_text(column.largest))
        table.add_row(escape(column.name), str(column.rule), *figures)
    console.print(table, highlight=False)
    p = report.parity
    counts = f"{p.rows:,} {report.row}s, missing {p.missing.count:,}, extra {p.extra.count:,}"
    if report.row == "prediction":
        counts += f", stale {p.stale.count:,}"
    if p.repeats:
        counts += f", delivered again {p.repeats:,}"
    console.print(f"\n{counts}; as of {time_text(report.low_ms)} to {time_text(report.high_ms)}", highlight=False)
    for line in report.how:
        console.print(escape(line), highlight=False, style="dim")
    _examples(report, console)
    for kind, cases in report.kinds.items():
        for case in cases.first[:3]:
            console.print(f"[yellow]{kind}[/] {escape(case.name)} at {time_text(case.at_ms)}: {escape(case.note)}", highlight=False)
    for line in report.problems:
        console.print(f"[red]✗[/] {line}", highlight=False)
    if not report.problems:
        console.print(f"[green]✓[/] online equals history: {p.equal:,} of {p.compared:,} values", highlight=False)


def _examples(report: Report, console: Console) -> None:
    """The first of each column."""
    for name, examples in report.evidence_by_column().items():
        example, evidence = examples[0]
        told = f"online {value_text(example.online)}, history {value_text(example.history)}"
        console.print(f"[red]{escape(name)}[/] of {escape(example.name)} at {time_text(example.at_ms)}: {escape(told)}", highlight=False)
        if evidence is None:
            continue
        if evidence.view:
            key = ", ".join(f"{field}={value_text(value)}" for field, value in evidence.key.items())
            window = f"[{time_text(evidence.low_ms)}, {time_text(evidence.high_ms)})"
            console.print(f"    {escape(f'{evidence.view}({key}) over {window}{evidence.counted}')}", highlight=False)
        for pair in evidence.pairs[:3]:
            sides = " | ".join(f"{side} {_columns(values)}" for side, values in (("online", pair.online), ("history", pair.history)))
            console.print(f"    {time_text(pair.start_ms)} {pair.what}: {escape(sides)}", highlight=False)
        if evidence.note:
            console.print(f"    {escape(evidence.note)}", highlight=False)


def _columns(values: object) -> str:
    return "nothing" if not isinstance(values, dict) else ", ".join(f"{name}={value_text(value)}" for name, value in values.items())
