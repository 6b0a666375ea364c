"""The shape of records: Avro schema files, read once into typed fields. Every source's schema enters Tidemark here."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
from fastavro.schema import SchemaParseException, UnknownType, fingerprint, parse_schema, to_parsing_canonical_form

from schemas.avro_columns import Incompatible, compile_reader
from schemas.errors import DefinitionError, SettingError
from schemas.field import Field, parse_field
from schemas.types import DataType

SHIPPED = Path(__file__).parent
"""The example's schemas, used when TIDEMARK_SCHEMAS names no folder."""
BUILT_IN = ("prediction", "watermark", "closing")
_FILE = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?:\.v(?P<version>[1-9][0-9]*))?\.avsc")
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_COMMENT = re.compile(r'("(?:\\.|[^"\\])*")|//[^\n]*|/\*.*?\*/', re.DOTALL)
"""Or a text, which may look like one."""


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
        envelope: The field of others' records in which all lies; what has null there is refused.
    """

    name: str
    version: int
    fields: tuple[Field, ...]
    avro: Mapping[str, Any] = field(repr=False)
    fingerprint: bytes
    path: str
    envelope: str | None = None

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
            folders: Where to look, not below; `None` is skipped. The built-in schemas are always there. Of an older version only what the newest
                reads of it must be of our types.

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
        newest: dict[str, int] = {}
        for name, version in map(_named, paths):
            newest[name] = max(newest.get(name, 0), version)
        for path in paths:
            built_in = path.parent == SHIPPED and path.stem in BUILT_IN
            name, version = _named(path)
            try:
                schema = load_file(path, composite=built_in or version < newest[name])
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


def _named(path: Path) -> tuple[str, int]:
    """The name and the version that a file's name says; of another file its whole name."""
    found = _FILE.fullmatch(path.name)
    return (path.name, 1) if found is None else (found["name"], int(found["version"] or 1))


def load_file(path: Path, *, composite: bool = False) -> Schema:
    """Read one schema file.

    Args:
        path: `<name>.avsc` or `<name>.vN.avsc`: JSON, in which `//` and `/* */` are comments.
        composite: Leave out fields of other types instead of refusing them.

    Raises:
        DefinitionError: Every fault of the file.
    """
    named = _FILE.fullmatch(path.name)
    if named is None:
        raise DefinitionError(f"{path}: not a schema's file name; allowed: <name>.avsc, <name>.v2.avsc, …")
    try:
        document = json.loads(_COMMENT.sub(lambda found: found[1] or " ", path.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError) as error:
        raise DefinitionError(f"{path}: not readable as JSON: {error}") from error
    return parse(document, name=named["name"], version=int(named["version"] or 1), path=str(path), composite=composite)


def parse(document: object, *, name: str, version: int = 1, path: str | None = None, composite: bool = False) -> Schema:
    """Type an Avro schema.

    Args:
        document: The schema as JSON data: a record, alone or as the one type of an array.
        name: What sources call it.
        version: 1 is the first.
        path: For messages.
        composite: Leave out fields of other types instead of refusing them.

    Raises:
        DefinitionError: Every fault, a line each.
    """
    where = path or f"{name}.avsc"
    if isinstance(document, list) and len(document) == 1:
        document = document[0]
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
                fields.append(parse_field(item, avro["__named_schemas"]))
            except ValueError as error:
                if not composite:
                    problems.append(f'{where}: field "{item["name"]}" {error}')
    paths = Counter(one.path for one in fields if one.path)
    problems += [f'{where}: "path" {".".join(twice)} is of {count} fields; each has its own' for twice, count in paths.items() if count > 1]
    if not fields and not problems and not composite:
        problems.append(f"{where}: the record has no field")
    if problems:
        raise DefinitionError(problems)
    return Schema(name=name, version=version, fields=tuple(fields), avro=avro, fingerprint=crc, path=where)
