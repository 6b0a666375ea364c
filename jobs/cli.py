"""The command line `tidemark`: a table of commands, each imported when it is called, and one way to report errors."""

from __future__ import annotations

import difflib
import errno
import functools
import importlib
import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence

import typer

from schemas.errors import SettingError, TidemarkError
from schemas.wording import cause, near

COMMANDS = {
    "up": ("jobs.runtime:up", "Start the embedded runtime, or attach to it"),
    "down": ("jobs.runtime:down", "End the embedded runtime; its data stays"),
    "status": ("jobs.runtime:status", "Say what runs"),
    "check": ("jobs.check:command", "Check all definitions"),
    "plan": ("jobs.plan:command", "Say what changed definitions would do"),
    "compile": ("jobs.compile:command", "Show what definitions compile to"),
    "submit": ("jobs.submit:submit", "Run a job on the Flink cluster: features, materialize, score"),
    "jobs": ("jobs.submit:jobs", "List the jobs of the Flink cluster"),
    "cancel": ("jobs.submit:cancel", "End a job; it can be resumed"),
    "publish": ("jobs.publish:command", "Publish a Parquet file to a source's topic"),
    "read": ("jobs.read:command", "Read a topic as JSON lines"),
    "frontier": ("jobs.frontier:command", "Say up to when views are readable"),
    "features": ("jobs.features_read:command", "Read a service's features online"),
    "backfill": ("jobs.backfill:command", "Compute a service's features from history"),
    "package": ("jobs.package:command", "Pack Tidemark's code for spark-submit --py-files"),
    "parity": ("jobs.parity.command:command", "Prove that what was served is what history says"),
    "bootstrap": ("jobs.bootstrap:bootstrap", "Load the tiles of history beside the stream's"),
    "correct": ("jobs.bootstrap:correct", "Count late events in the tiles that they belong to"),
    "rebuild": ("jobs.rebuild:command", "Fill the store anew beside the one that is served"),
    "switch": ("jobs.switch:command", "Serve another generation of the store"),
    "shadow": ("jobs.shadow:command", "Compare a view with the one that it is to replace"),
    "retire": ("jobs.retire:command", "Remove what is kept of a view that is no longer computed"),
    "train": ("jobs.train:command", "Train a model on a backfill"),
    "predict": ("jobs.predict:command", "Score history with a model"),
    "data": ("jobs.data:command", "Say what changed between two training sets or models"),
    "demo": ("jobs.demo:command", "Run the whole example"),
}
"""Name → (module:function with typer annotations, one line of help). A command is imported only when it is called: Feast alone costs 10 s."""

_INTERRUPTED = 130
_OF_DISKS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS})


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
    module, _, function = COMMANDS[name][0].partition(":")
    return run(getattr(importlib.import_module(module), function), rest, name=f"tidemark {name}")


def run(function: Callable[..., object], arguments: Sequence[str], *, name: str) -> int:
    """Run a function that typer can read as a command; what it returns, if a whole number, is the exit code.

    A function takes arguments that it does not declare when its attribute `context_settings` says so.
    """
    codes: list[int] = []
    raised: list[BaseException] = []

    @functools.wraps(function)
    def command(*args: object, **options: object) -> None:
        try:
            outcome = function(*args, **options)
        except (KeyboardInterrupt, BrokenPipeError) as error:  # kept from typer, for which both are exit code 1
            raised.append(error)
        else:
            codes.append(outcome if isinstance(outcome, int) else 0)

    application = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    application.command(context_settings={"help_option_names": ["-h", "--help"], **getattr(function, "context_settings", {})})(command)
    try:
        typer.main.get_command(application).main(args=list(arguments), prog_name=name)
    except SystemExit as ended:
        codes.append(int(ended.code or 0))
    if raised:
        raise raised[0]
    return codes[0]


def guarded(action: Callable[[], int]) -> int:
    """The one place where an error becomes a line on stderr and an exit code; paths below the working directory are told from there."""
    try:
        code = action()
        if sys.stdout is not None:  # as it is where a shell closed it: `>&-`
            sys.stdout.flush()
    except TidemarkError as error:
        print("\n".join(f"tidemark: {line}" for line in near(str(error)).splitlines()), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader has gone, as `| head` does: nothing is left to say, not even when Python flushes at its end.
        _say_no_more()
        return 0
    except OSError as error:  # what no command has foreseen: a disk that is full, a file that somebody else may read
        if error.filename is None and error.errno not in _OF_DISKS:
            raise
        if error.filename is None:
            _say_no_more()
        where = "what was to be written" if error.filename is None else near(str(error.filename))
        print(f"tidemark: {where}: {cause(error)}", file=sys.stderr)
        return SettingError.exit_code
    return code


def _say_no_more() -> None:
    """Else Python tells at its end that it could not write the rest."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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
