"""`tidemark demo`: a month of real flights through the whole river, and every served value checked against the backfill."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.errors import DataError

if TYPE_CHECKING:
    from rich.console import Console

    from jobs.demo.report import Findings

COMMANDS = {"demo": "Run the whole example"}
NEEDS = {"demo": ("flink", "spark", "embedded", "demo")}


def command(
    days: Annotated[int, typer.Option(min=1, max=31, help="How many days of October to replay")] = 11,
    train_from: Annotated[
        str, typer.Option(help="The first day to train on; later ones are quicker, and worse", metavar="DATE")
    ] = "2013-01-01",
    disorder: Annotated[bool, typer.Option("--disorder", help="Publish events out of order, by as much as their sources allow")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the runtime and its jobs running, to look around in")] = False,
) -> None:
    """Train on January to September, replay days of October live, compare with Spark, write a report."""
    from rich.console import Console

    from jobs.demo.demo import prepare
    from jobs.demo.findings import judge, problems, write
    from jobs.demo.run import play
    from jobs.demo.steps import Steps

    for ending in (signal.SIGINT, signal.SIGTERM):  # SIGINT too: a shell lets background jobs ignore it
        signal.signal(ending, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as under nohup
        signal.signal(signal.SIGHUP, signal.default_int_handler)
    since = time.monotonic()
    console = Console(soft_wrap=True)
    with Steps(console) as stages:
        demo = prepare(days, train_from, stages, disorder=disorder)
        findings = play(demo, keep=keep, judge=lambda evidence: judge(evidence, wall_s=time.monotonic() - since))
        report = write(findings, demo.folder)
    _summarise(findings, console)
    console.print(f"\nReport: {report}")
    if keep:
        console.print(
            "The runtime goes on: `tidemark status`, `tidemark jobs`, `tidemark read flight_delay.predictions`; `tidemark down` ends it."
        )
    if wrong := problems(findings):
        raise DataError("\n".join(f"demo: {line}" for line in wrong))


def _summarise(findings: Findings, console: Console) -> None:
    """A screen of figures."""
    from rich.table import Table

    s, parity = findings.summary, findings.parity
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    rows = {
        "events in": f"{s['events']:,}, of them {findings.repeats:,} sent twice and {findings.late:,} late",
        "dead letters": f"{s['dead_letters']:,}; bad records put in: {s['injected_bad']:,}",
        "tiles": f"{s['tiles']:,}",
        "predictions": f"{s['predictions']:,}; missing {parity.missing.count}, extra {parity.extra.count}",
        "exact reads": f"{s['exact_share']:.2%}",
        "equal to the backfill": f"{parity.equal:,} of {parity.compared:,} values; {parity.different} differ",
        "AUC": f"{s['auc_live']:.3f} live, {s['auc_static']:.3f} without live features",
        "log loss": f"{s['log_loss_live']:.3f}",
        "features job, catching up": f"{s['throughput_events_per_s']:,.0f} events/s",
        "request to prediction": f"p50 {s['latency_ms']['p50']:.0f} ms, p99 {s['latency_ms']['p99']:.0f} ms",
        "whole run": f"{s['wall_s']:.0f} s",
    }
    for name, value in rows.items():
        table.add_row(f"[bold]{name}[/]", value)
    console.print()
    console.print(table, highlight=False)
