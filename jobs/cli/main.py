"""The command line `tidemark`: a table of commands, each imported when it is called, and one way to report errors."""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Mapping, Sequence

from infra.extras import Extra, require
from jobs.report.command import guarded, run

COMMANDS = {
    "up": ("jobs.cli.runtime:up", "Start the embedded runtime, or attach to it"),
    "down": ("jobs.cli.runtime:down", "End the embedded runtime; its data stays"),
    "status": ("jobs.cli.runtime:status", "Say what runs"),
    "check": ("jobs.cli.check:command", "Check all definitions"),
    "test": ("jobs.cli.test:command", "Judge the declared cases of the definitions, without services"),
    "plan": ("jobs.cli.plan:command", "Say what changed definitions would do"),
    "compile": ("jobs.cli.compile:command", "Show what definitions compile to"),
    "submit": ("jobs.cli.submit:submit", "Run a job on the Flink cluster: features, materialize, score"),
    "jobs": ("jobs.cli.submit:jobs", "List the jobs of the Flink cluster"),
    "cancel": ("jobs.cli.submit:cancel", "End a job; it can be resumed"),
    "publish": ("jobs.cli.publish:command", "Publish a Parquet file to a source's topic"),
    "read": ("jobs.cli.read:command", "Read a topic as JSON lines"),
    "frontier": ("jobs.cli.frontier:command", "Say up to when views are readable"),
    "features": ("jobs.cli.features:command", "Read a service's features online"),
    "backfill": ("jobs.backfill:command", "Compute a service's features from history"),
    "package": ("jobs.cli.package:command", "Pack Tidemark's code for spark-submit --py-files"),
    "parity": ("jobs.cli.parity:command", "Prove that what was served is what history says"),
    "bootstrap": ("jobs.bootstrap:bootstrap", "Load the tiles of history beside the stream's"),
    "correct": ("jobs.bootstrap:correct", "Count late events in the tiles that they belong to"),
    "rebuild": ("jobs.cli.rebuild:command", "Fill the store anew beside the one that is served"),
    "switch": ("jobs.cli.switch:command", "Serve another generation of the store"),
    "shadow": ("jobs.cli.shadow:command", "Compare a view with the one that it is to replace"),
    "retire": ("jobs.cli.retire:command", "Remove what is kept of a view that is no longer computed"),
    "train": ("jobs.train:command", "Train a model on a backfill"),
    "predict": ("jobs.predict:command", "Score history with a model"),
    "data": ("jobs.cli.data:command", "Say what changed between two training sets or models"),
    "demo": ("jobs.cli.demo:command", "Run the whole example"),
}
"""Name → (module:function with typer annotations, one line of help). A command is imported only when it is called: Feast alone costs 10 s."""

_NEEDS: Mapping[str, Sequence[Extra]] = {
    "up": ["flink", "embedded"],
    "submit": ["flink"],
    "backfill": ["spark"],
    "parity": ["spark"],
    "bootstrap": ["spark"],
    "correct": ["spark"],
    "rebuild": ["flink", "spark"],
    "predict": ["spark"],
    "demo": ["flink", "spark", "embedded", "demo"],
}
"""Command → what it cannot do without, of what is not part of a plain `pip install`."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit code: 0 done; 1 failed, or something differs; 2 wrong use, setting or definition; 3 a service; 4 data; 130 interrupted.
    """
    return guarded(lambda: _dispatch(*([*(sys.argv[1:] if arguments is None else arguments)] or ["--help"])))


def _dispatch(name: str, *rest: str) -> int:
    if name in ("-h", "--help"):
        print(_help())
        return 0
    if name == "--version":
        print(f"tidemark {importlib.metadata.version('tidemark')}")
        return 0
    known = available()
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]}?" if close else "`tidemark --help` lists them"
        print(f"tidemark: no command is named {name!r}; {hint}", file=sys.stderr)
        return 2
    if not {"-h", "--help"}.intersection(rest):
        require(*_NEEDS.get(name, ()))
    module, _, function = COMMANDS[name][0].partition(":")
    return run(getattr(importlib.import_module(module), function), rest, name=f"tidemark {name}")


def available() -> list[str]:
    """The commands whose modules are installed, in the table's order."""
    return [name for name, (target, _) in COMMANDS.items() if importlib.util.find_spec(target.partition(":")[0]) is not None]


def _help() -> str:
    lines = (f"  {name:<12} {COMMANDS[name][1]}" for name in available())
    return "\n".join(
        (
            "Usage: tidemark COMMAND [OPTIONS]",
            "",
            "Real-time features and inference on streams.",
            "",
            "Commands:",
            *lines,
            "",
            "`tidemark COMMAND --help` tells more. Settings: environment TIDEMARK_* or tidemark.toml.",
        )
    )


if __name__ == "__main__":
    sys.exit(main())
