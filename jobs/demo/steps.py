"""What the demo shows while it runs: a line for each stage that has ended, a bar for each that runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, Task, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text


class _Count(TextColumn):
    """How far, where that is known."""

    def render(self, task: Task) -> Text:
        return Text("" if task.total is None else f"{task.completed:,.0f} of {task.total:,.0f}", style="cyan")


class Steps:
    """Use as a context manager; plain lines where there is no terminal."""

    def __init__(self, console: Console) -> None:
        """Prepare."""
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=28), _Count(""), TimeElapsedColumn())
        self._console = console
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._bars: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Leave the terminal as it was."""
        self._progress.stop()

    def began(self, name: str, *, total: int | None = None) -> None:
        """A stage has begun; a bar that moves when its total is known."""
        self._bars[name] = self._progress.add_task(name, total=total)

    def advance(self, name: str, steps: int) -> None:
        """It has come so much further."""
        self._progress.advance(self._bars[name], steps)

    def ended(self, name: str, seconds: float, note: str = "") -> None:
        """It has ended well."""
        self._progress.remove_task(self._bars.pop(name))
        self._console.print(f"[green]✓[/] {name}{f' [dim]· {note}[/]' if note else ''} [dim]{seconds:.1f} s[/]", highlight=False)

    @contextmanager
    def stage(self, name: str, *, total: int | None = None) -> Iterator[list[str]]:
        """One stage; what is put into the list is said at its end."""
        notes: list[str] = []
        since = time.monotonic()
        self.began(name, total=total)
        yield notes
        self.ended(name, time.monotonic() - since, ", ".join(notes))
