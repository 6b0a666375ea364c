"""The shape of records: Avro schema files, read once into typed fields. Every source's schema enters Tidemark here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from fastavro.schema import SchemaParseException, UnknownType, fingerprint, parse_schema, to_parsing_canonical_form

from schemas.avro_columns import Incompatible, compile_reader, describe
from schemas.errors import DefinitionError, SettingError
from schemas.types import DataType

SHIPPED = Path(__file__).parent
"""The example's schemas, used when TIDEMARK_SCHEMAS names no folder."""
BUILT_IN = ("prediction", "watermark", "closing")
ALLOWED = "int, long, float, double, boolean, string, enum, timestamp-millis, or [null, one of these]"
_FILE = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?:\.v(?P<version>[1-9][0-9]*))?\.avsc")
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SCALARS = {
    "int": DataType.INT64,
    "long": DataType.INT64,
    "float": DataType.FLOAT64,
    "double": DataType.FLOAT64,
    "boolean": DataType.BOOLEAN,
    "string": DataType.STRING,
}


@dataclass(frozen=True, kw_only=True)
class Field:
    """One field of a record.

    Attributes:
        name: As in the schema file.
        type: Its portable type; an Avro enum is a string.
        nullable: Whether null is a value of it.
        default: What an older record, or JSON without the field, means; see `has_default`.
        has_default: Whether the schema gives a default (which may itself be null).
        non_finite_allowed: Whether NaN and infinities may pass (attribute `"non_finite": true` of a double).
        aliases: Names that older versions gave it.
        symbols: The allowed values of an enum, else empty.
        unknown_symbol: What an enum's symbol that this version does not know is read as.
        carrier: The Avro type that carries it on the wire: an int has 32 bits and a float is of single precision, in every format.
    """

    name: str
    type: DataType
    nullable: bool
    default: object = None
    has_default: bool = False
    non_finite_allowed: bool = False
    aliases: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    unknown_symbol: str | None = None
    carrier: str | None = None

    @property
    def is_single(self) -> bool:
        """Whether its numbers are floats: doubles that single precision holds."""
        return self.carrier == "float"

    @property
    def is_32_bits(self) -> bool:
        """Whether its numbers are Avro's ints."""
        return self.carrier == "int"

    @property
    def expected(self) -> str:
        """What its values are, for messages: its type, or the Avro type that makes it narrower."""
        if self.type is DataType.TIMESTAMP:
            return "timestamp-millis"
        return str(self.carrier) if self.is_32_bits or self.is_single else self.type


@dataclass(frozen=True, kw_only=True)
class Schema:
    """One version of a record's shape.

    Attributes:
        name: The file's stem, which `Source(schema=…)` names.
        version: 1 for `<name>.avsc`, n for `<name>.vn.avsc`.
        fields: In the file's order. Built-in schemas may have maps and arrays besides, which only the codec knows.
        avro: The parsed Avro schema, as fastavro takes it.
        fingerprint: CRC-64-AVRO of the Parsing Canonical Form, in the byte order of the single-object header.
        path: Where it was read.
    """

    name: str
    version: int
    fields: tuple[Field, ...]
    avro: Mapping[str, Any] = field(repr=False)
    fingerprint: bytes
    path: str

    @cached_property
    def columns(self) -> dict[str, DataType]:
        """Field name → type, in order."""
        return {field.name: field.type for field in self.fields}

    @cached_property
    def nullable(self) -> frozenset[str]:
        """The names of the fields that may be null."""
        return frozenset(field.name for field in self.fields if field.nullable)

    @cached_property
    def arrow(self) -> pa.Schema:
        """The columns of a table of such records."""
        return pa.schema([pa.field(field.name, field.type.arrow, nullable=field.nullable) for field in self.fields])


class SchemaSet:
    """All schemas of some folders, every version, with the built-in ones."""

    def __init__(self, schemas: Iterable[Schema]) -> None:
        """Index the schemas by name, version and fingerprint."""
        self._versions: dict[str, tuple[Schema, ...]] = {}
        for schema in sorted(schemas, key=lambda schema: (schema.name, schema.version)):
            self._versions[schema.name] = (*self._versions.get(schema.name, ()), schema)
        self._by_fingerprint = {schema.fingerprint: schema for versions in self._versions.values() for schema in versions}

    @classmethod
    def load(cls, *folders: Path | None) -> SchemaSet:
        """Read every `<name>.avsc` and `<name>.vN.avsc` of the folders.

        Args:
            folders: Where to look, not below; `None` is skipped. The built-in schemas are always there.

        Raises:
            SettingError: A folder that is not there.
            DefinitionError: Every fault of every file, a line each.
        """
        found: dict[tuple[str, int], Schema] = {}
        problems: list[str] = []
        paths = [SHIPPED / f"{name}.avsc" for name in BUILT_IN]
        for folder in folders:
            if folder is None:
                continue
            if not folder.is_dir():
                raise SettingError(f"schemas: {folder} is not a folder; TIDEMARK_SCHEMAS names the folder of the .avsc files")
            paths += [path for path in sorted(folder.glob("*.avsc")) if path.resolve() not in paths]
        for path in paths:
            try:
                schema = load_file(path, composite=path.parent == SHIPPED and path.stem in BUILT_IN)
            except DefinitionError as error:
                problems += error.problems
                continue
            other = found.setdefault((schema.name, schema.version), schema)
            if other.avro != schema.avro:
                twice = f'schema "{schema.name}" version {schema.version} is already in {other.path}, with other content'
                problems.append(f"{path}: {twice}; give it another name")
        schemas = cls(found.values())
        problems += [problem for name in schemas.names for problem in schemas._unreadable(name)]
        if problems:
            raise DefinitionError(problems)
        return schemas

    @property
    def names(self) -> tuple[str, ...]:
        """All schema names, sorted."""
        return tuple(self._versions)

    def current(self, name: str) -> Schema:
        """The newest version, which sources are read as.

        Raises:
            DefinitionError: No such schema; with the nearest name.
        """
        return self.versions(name)[-1]

    def versions(self, name: str) -> tuple[Schema, ...]:
        """Every version of a schema, oldest first.

        Raises:
            DefinitionError: No such schema; with the nearest name.
        """
        if name not in self._versions:
            near = get_close_matches(name, self.names, n=1)
            hint = f'did you mean "{near[0]}"?' if near else f"there are {', '.join(self.names)}"
            raise DefinitionError(f'schemas: no schema "{name}" ({name}.avsc); {hint}')
        return self._versions[name]

    def by_fingerprint(self, value: bytes) -> Schema | None:
        """The schema of a single-object header's 8 bytes, if known."""
        return self._by_fingerprint.get(value)

    def _unreadable(self, name: str) -> list[str]:
        current = self.current(name)
        problems = []
        for older in self.versions(name)[:-1]:
            try:
                compile_reader(older.avro, current)
            except Incompatible as error:
                problems.append(f"{current.path}: records of version {older.version} cannot be read as version {current.version}: {error}")
        return problems


def load_file(path: Path, *, composite: bool = False) -> Schema:
    """Read one schema file.

    Args:
        path: `<name>.avsc` or `<name>.vN.avsc`.
        composite: Leave out fields of other types instead of refusing them.

    Raises:
        DefinitionError: Every fault of the file.
    """
    named = _FILE.fullmatch(path.name)
    if named is None:
        raise DefinitionError(f"{path}: not a schema's file name; allowed: <name>.avsc, <name>.v2.avsc, …")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DefinitionError(f"{path}: not readable as JSON: {error}") from error
    return parse(document, name=named["name"], version=int(named["version"] or 1), path=str(path), composite=composite)


def parse(document: object, *, name: str, version: int = 1, path: str | None = None, composite: bool = False) -> Schema:
    """Type an Avro schema.

    Args:
        document: The schema as JSON data.
        name: What sources call it.
        version: 1 is the first.
        path: For messages.
        composite: Leave out fields of other types instead of refusing them.

    Raises:
        DefinitionError: Every fault, a line each.
    """
    where = path or f"{name}.avsc"
    if not isinstance(document, dict) or document.get("type") != "record":
        raise DefinitionError(f"{where}: a schema must be an Avro record with fields")
    try:
        avro = parse_schema(document)
        crc = bytes.fromhex(fingerprint(to_parsing_canonical_form(avro), "CRC-64-AVRO"))
    except (SchemaParseException, UnknownType, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise DefinitionError(f"{where}: not an Avro schema: {type(error).__name__}: {error}") from error
    assert isinstance(avro, dict)
    fields: list[Field] = []
    problems: list[str] = []
    seen: dict[str, str] = {}
    for item in avro["fields"]:
        if not _FIELD.fullmatch(item["name"]):
            problems.append(f'{where}: "{item["name"]}" is not a field name; allowed: letters, digits and _, not first a digit')
        elif item["name"].lower() in seen:
            problems.append(
                f'{where}: field "{item["name"]}" is there twice (as "{seen[item["name"].lower()]}"); names differ by more than case'
            )
        else:
            seen[item["name"].lower()] = item["name"]
            try:
                fields.append(_field(item, avro["__named_schemas"]))
            except ValueError as error:
                if not composite:
                    problems.append(f'{where}: field "{item["name"]}" {error}')
    if not fields and not problems:
        problems.append(f"{where}: the record has no field")
    if problems:
        raise DefinitionError(problems)
    return Schema(name=name, version=version, fields=tuple(fields), avro=avro, fingerprint=crc, path=where)


def _field(item: Mapping[str, Any], named: Mapping[str, Any]) -> Field:
    """One field of a parsed Avro record; ValueError says what is wrong with it."""
    kind = item["type"]
    nullable = False
    if isinstance(kind, list):
        rest = [branch for branch in kind if branch != "null"]
        if len(kind) != 2 or len(rest) != 1:
            raise ValueError(f"is a union of {json.dumps(kind)}; allowed: {ALLOWED}")
        kind, nullable = rest[0], True
    type_ = data_type(kind, named)
    if type_ is None:
        raise ValueError(f"is {describe(kind)}; allowed: {ALLOWED}")
    non_finite = item.get("non_finite", False)
    if non_finite is not False and (non_finite is not True or type_ is not DataType.FLOAT64):
        raise ValueError('has a wrong "non_finite"; allowed: true on a float or double')
    definition = named.get(kind) if isinstance(kind, str) else kind
    enum = definition if isinstance(definition, Mapping) and definition.get("type") == "enum" else {}
    symbols = tuple(enum.get("symbols", ()))
    carrier = definition["type"] if isinstance(definition, Mapping) else kind
    default = item.get("default")
    if "default" in item and not _fits(default, type_, nullable, symbols):
        raise ValueError(f"has default {json.dumps(default)}, which is not a {type_}")
    if carrier == "int" and default is not None and not -(2**31) <= default < 2**31:
        raise ValueError(f"has default {default}, which is no 32-bit integer")
    if type_ is DataType.FLOAT64 and default is not None:
        default = single(default) if carrier == "float" else float(default)
    return Field(
        name=item["name"],
        type=type_,
        nullable=nullable,
        default=default,
        has_default="default" in item,
        non_finite_allowed=non_finite,
        aliases=tuple(item.get("aliases", ())),
        symbols=symbols,
        unknown_symbol=enum.get("default"),
        carrier=carrier,
    )


def single(value: float) -> float:
    """The nearest number of single precision."""
    with np.errstate(over="ignore"):
        return float(np.float32(value))


def data_type(kind: object, named: Mapping[str, Any]) -> DataType | None:
    """The portable type of an Avro type, or None when there is none."""
    if isinstance(kind, Mapping):
        if kind["type"] == "enum":
            return DataType.STRING
        match kind.get("logicalType"):
            case None:
                return _SCALARS.get(kind["type"])
            case "timestamp-millis":
                return DataType.TIMESTAMP if kind["type"] == "long" else None
            case _:
                return None
    if isinstance(kind, str) and kind in named:
        return data_type(named[kind], {})
    return _SCALARS.get(kind) if isinstance(kind, str) else None


def _fits(value: object, type_: DataType, nullable: bool, symbols: tuple[str, ...]) -> bool:
    if value is None:
        return nullable
    match type_:
        case DataType.BOOLEAN:
            return isinstance(value, bool)
        case DataType.INT64 | DataType.TIMESTAMP:
            return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63
        case DataType.FLOAT64:
            return isinstance(value, int | float) and not isinstance(value, bool)
        case _:
            return isinstance(value, str) and (not symbols or value in symbols)
