"""How a function becomes a command: options by typer, and the one place where an error becomes a line on stderr and an exit code."""

from __future__ import annotations

import errno
import functools
import os
import sys
from collections.abc import Callable, Sequence

import typer

from infra.extras import bringing, not_installed
from schemas.errors import SettingError, TidemarkError
from schemas.wording import cause, near

_INTERRUPTED = 130
_OF_DISKS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS})


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
    """Do what a command does, and tell its error in a line; paths below the working directory are told from there."""
    try:
        code = action()
        if sys.stdout is not None:  # as it is where a shell closed it: `>&-`
            sys.stdout.flush()
    except TidemarkError as error:
        return _tell(error)
    except ModuleNotFoundError as error:
        extra = bringing(error.name)
        if extra is None:
            raise
        return _tell(not_installed(extra))
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


def _tell(error: TidemarkError) -> int:
    print("\n".join(f"tidemark: {line}" for line in near(str(error)).splitlines()), file=sys.stderr)
    return error.exit_code


def _say_no_more() -> None:
    """Else Python tells at its end that it could not write the rest."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
