"""Values that stand in the names of folders, `card=k1/part-0.parquet`, as Hive, Spark, pyarrow, DuckDB and Polars partition files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote

from schemas.errors import DataError
from schemas.types import DataType

NULL = "__HIVE_DEFAULT_PARTITION__"
"""What stands for null."""

_WHOLE = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?(inf(inity)?|nan)", re.IGNORECASE)
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?(Z|[+-][0-9]{2}(:?[0-9]{2})?)?)?")
_BOOLEANS = {"true": True, "false": False}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def base_of(root: Path) -> Path:
    """The folder that the values of a folder that was named begin below: itself, or above the `name=value` folders that it ends with."""
    while _pair(root) is not None and root != root.parent:
        root = root.parent
    return root


def values_of(path: Path, root: Path) -> dict[str, str | None]:
    """Name → text of every `name=value` folder of a file, null of the null partition.

    Those below the folder that was named count, and those right above it: `day=1/card=k1` may be named itself.

    Args:
        path: The file.
        root: The folder that was named, or the file's own.

    Raises:
        DataError: Two folders give one name different values, or a name that is no text.
    """
    found: dict[str, str | None] = {}
    for folder in path.relative_to(base_of(root)).parents:
        pair = _pair(folder)
        if pair is None:
            continue
        name, value = _plain(path, pair[0]), None if pair[1] == NULL else _plain(path, pair[1])
        if name in found and found[name] != value:
            raise DataError(f'{path}: its folders give column "{name}" two values, {_shown(value)} and {_shown(found[name])}')
        found[name] = value
    return found


def typed(text: str | None, type_: DataType) -> object:
    """A folder's value as a portable type's; instants in ms since the epoch, finer parts cut towards the past, without a zone in UTC.

    Raises:
        ValueError: It is none of the type.
    """
    if text is None or type_ is DataType.STRING:
        return text
    match type_:
        case DataType.INT64 if _WHOLE.fullmatch(text) and -(2**63) <= int(text) < 2**63:
            return int(text)
        case DataType.FLOAT64 if _NUMBER.fullmatch(text):
            return float(text)
        case DataType.BOOLEAN if text.lower() in _BOOLEANS:
            return _BOOLEANS[text.lower()]
        case DataType.TIMESTAMP if _TIME.fullmatch(text):
            moment = datetime.fromisoformat(text)
            since = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH
            return (since.days * 86_400 + since.seconds) * 1_000 + since.microseconds // 1_000
        case _:
            raise ValueError(text)


def faults(values: Mapping[str, str | None], types: Mapping[str, DataType]) -> Iterator[str]:
    """What is wrong with the values of columns that are wanted."""
    for name, type_ in types.items():
        try:
            typed(values.get(name), type_)
        except ValueError:
            yield f'column "{name}" is {_shown(values[name])} by its folder; expected {type_.arrow}'


def _pair(folder: Path) -> tuple[str, str] | None:
    name, equals, value = folder.name.partition("=")
    return (name, value) if name and equals else None


def _plain(path: Path, text: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise DataError(f"{path}: its folder's name {text} is no UTF-8") from None


def _shown(value: str | None) -> str:
    return "null" if value is None else f'"{value}"'
