"""The command line `tidemark`: commands are found where they are written, each imported when it is called, and errors are told in one way."""

from __future__ import annotations

import ast
import difflib
import importlib
import importlib.metadata
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from infra.extras import Extra, require
from jobs.report.command import guarded, run

_DECLARED = {name: re.compile(rf"^{name} = (\{{.*?\}})$", re.MULTILINE | re.DOTALL) for name in ("COMMANDS", "NEEDS")}
"""What a module of commands says of itself, as literals: it is read, and imported only when a command is called; Feast alone costs 10 s."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command, as its module declares it.

    Attributes:
        module: Where it is.
        function: Of the module, with typer annotations: the command's name, or `command` where the module has no other.
        line: One line of help.
        needs: The extras that it cannot do without.
    """

    module: str
    function: str
    line: str
    needs: tuple[Extra, ...]


@cache
def commands() -> Mapping[str, Command]:
    """Every command by its name: those that a module of `jobs.cli`, or a process beside it, declares in `COMMANDS`, and what they need in `NEEDS`."""
    found: dict[str, Command] = {}
    for package in ("jobs", "jobs.cli"):
        for file in files(package).iterdir():
            if file.name.endswith(".py"):
                found |= _declared(f"{package}.{file.name.removesuffix('.py')}", file.read_text())
    return dict(sorted(found.items()))


def _declared(module: str, text: str) -> dict[str, Command]:
    lines, needs = (ast.literal_eval(said[1]) if (said := declared.search(text)) else {} for declared in _DECLARED.values())
    return {
        name: Command(module=module, function="command" if len(lines) == 1 else name, line=line, needs=tuple(needs.get(name, ())))
        for name, line in lines.items()
    }


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
    known = commands()
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]}?" if close else "`tidemark --help` lists them"
        print(f"tidemark: no command is named {name!r}; {hint}", file=sys.stderr)
        return 2
    command = known[name]
    if not {"-h", "--help"}.intersection(rest):
        require(*command.needs)
    return run(getattr(importlib.import_module(command.module), command.function), rest, name=f"tidemark {name}")


def _help() -> str:
    lines = (f"  {name:<12} {command.line}" for name, command in commands().items())
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
