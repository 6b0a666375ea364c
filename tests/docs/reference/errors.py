"""The exception tree with its exit codes, and the reasons of dead letters as the decoders write them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from inspect import getdoc
from pathlib import Path

from schemas.errors import TidemarkError
from tests.docs.reference.table import table

HEAD = """# Errors

Every error of a user's making is one line on stderr (or one for each of several faults, told together): where, what, and what is allowed. Its exit code says of which
kind it is:

"""

LETTERS = """
| Exit code | Besides |
| --- | --- |
| 0 | done |
| 1 | something differs, where a command compares |
| 2 | wrong use of the command line |
| 130 | interrupted |

## Dead letters

What cannot be read goes to `<topic>.dlq`, bytes untouched, with the headers `source_topic`, `source_partition`, `source_offset` and `reason`. A reason is a word, a colon, and what was found:

"""

MEANINGS: Mapping[str, str] = {
    "empty": "the message has no bytes",
    "future": "the event time is further ahead of the clock than `TIDEMARK_FUTURE_SKEW`",
    "incompatible-schema": "the writer's schema cannot be resolved to the current one",
    "missing": "a field that must have a value has none, or is not there",
    "no-envelope": "the source declares an envelope, and the record has none",
    "no-record": "the envelope holds no row, as that of a delete",
    "no-shard": "no shard of the model has the request's key, and `--missing refuse` was said",
    "non-finite": "NaN or infinity where the schema does not allow it",
    "not-json": "neither of the Avro formats, and no JSON object",
    "out-of-range": "a time outside the years 1 to 9999, or one that 64 bits do not hold",
    "over-long": "bytes are left behind the record",
    "tombstone": "the message has no value",
    "too-early": "the event time is before the source's `earliest_event_time`",
    "too-large": "longer than `TIDEMARK_MAX_RECORD`",
    "truncated": "the record ends inside a field",
    "unknown-fingerprint": "Avro single-object encoding of a schema that is no version of the source's",
    "unknown-format": "neither Avro single-object encoding, nor Confluent's framing, nor JSON",
    "unknown-schema": "Confluent's framing with an id that the registry does not give, or no registry is set",
    "unknown-view": "a tile or closing of a view that the store does not have",
    "unscorable": "the model failed at this request alone",
    "wrong-entries": "a tile whose map is none of its partial",
    "wrong-tile": "a tile or closing that does not fit the view's tile size",
    "wrong-type": "a value that its field cannot hold",
}
"""Reason → in words. That these are all is tested."""

_NO_LETTERS = {"registry", "schemas"}
"""Words before a colon that name the place of a command's error."""

_REASON = re.compile(r"([a-z]+(?:-[a-z]+)*): ")


def page() -> str:
    """The page."""
    letters = table(("Reason", "What it means"), ((f"`{reason}`", meaning) for reason, meaning in sorted(MEANINGS.items())))
    return HEAD + _tree() + LETTERS + letters


def reasons() -> set[str]:
    """Those that the code writes: the word ahead of the colon that a text begins with, in the modules that refuse records."""
    root = Path(__file__).parents[3]
    files = [*sorted((root / "schemas").glob("*.py")), root / "inference/materializer.py", root / "inference/scorer.py"]
    texts = {text for file in files for text in _texts(ast.parse(file.read_text()))}
    return {found[1] for text in texts if (found := _REASON.match(text))} - _NO_LETTERS


def _texts(tree: ast.AST) -> Iterator[str]:
    """Of an f-string the part ahead of its first value."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _tree() -> str:
    kinds: list[type[TidemarkError]] = [TidemarkError, *TidemarkError.__subclasses__()]
    return table(
        ("Error", "Exit code", "What it tells of"), ((f"`{kind.__name__}`", str(kind.exit_code), _first_line(kind)) for kind in kinds)
    )


def _first_line(kind: type) -> str:
    return (getdoc(kind) or "").partition("\n")[0].rstrip(".")
