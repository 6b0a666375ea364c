"""What values were computed from: definitions, files, options and code. Recorded by the backfill, taken over by the model, named in each prediction."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from features.plan import ServicePlan
from features.versions.plan_diff import schema_record, service_record, view_record
from schemas.errors import DataError
from schemas.schema import Schema

KEY = "data_version"
"""Under which a manifest keeps it, and a prediction its digest."""


@dataclass(frozen=True, kw_only=True)
class DataFile:
    """A Parquet file that was read.

    Attributes:
        name: Its path below the folder that was named, with `/` between: the same wherever that folder lies.
        bytes: Its size.
        rows: How many it has.
        sha256: Of its content.
    """

    name: str
    bytes: int
    rows: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class CodeVersion:
    """Which code computed.

    Attributes:
        release: The package's version.
        sources_sha256: Of the code itself, in a checkout and where it is installed.
        commit: The git commit of a checkout, `-dirty` behind it where files differ; tells a person where to look, and decides nothing.
    """

    release: str
    sources_sha256: str
    commit: str | None = None

    def __str__(self) -> str:
        """Release and code, as a local version (PEP 440): the same text is the same code."""
        return f"{self.release}+{self.sources_sha256[:12]}"


@dataclass(frozen=True, kw_only=True)
class DataVersion:
    """All that values depend on: sets with the same digest have the same values, sums of doubles to 1e-12.

    Attributes:
        service: The feature service.
        service_version: Fingerprint of its definitions.
        definitions: `service`, `views`, and by relation `schemas`, as `features.versions.plan_diff` records them.
        options: How it was computed: plain values by name.
        files: What was read: relation (`--requests`, or a source) → its files by name.
        code: Which code computed.
    """

    service: str
    service_version: str
    definitions: Mapping[str, Any]
    options: Mapping[str, Any]
    files: Mapping[str, tuple[DataFile, ...]]
    code: CodeVersion

    @classmethod
    def of(
        cls,
        service: ServicePlan,
        *,
        schemas: Mapping[str, Schema],
        options: Mapping[str, Any],
        files: Mapping[str, tuple[DataFile, ...]],
        code: CodeVersion,
    ) -> DataVersion:
        """The data version of a service's values.

        Args:
            service: The service.
            schemas: By relation, as which its files were read.
            options: How they were computed.
            files: By relation.
            code: That computed them.
        """
        described = {
            "service": service_record(service),
            "views": {view.name: view_record(view) for view in service.views},
            "schemas": {name: schema_record(schema) for name, schema in schemas.items()},
        }
        return cls(
            service=service.name,
            service_version=service.fingerprint,
            definitions=json.loads(json.dumps(described)),
            options=options,
            files={name: tuple(sorted(files[name], key=lambda file: file.name)) for name in sorted(files)},
            code=code,
        )

    @cached_property
    def files_sha256(self) -> str:
        """Of the files' names, sizes, rows and contents."""
        return _sha256({name: [vars(file) for file in files] for name, files in self.files.items()})

    @cached_property
    def digest(self) -> str:
        """First 16 hex digits of a sha256 over everything but the commit."""
        identity = (
            self.service,
            self.service_version,
            self.definitions,
            self.options,
            self.files_sha256,
            vars(self.code) | {"commit": None},
        )
        return _sha256(identity)[:16]

    def json(self) -> dict[str, Any]:
        """As plain data, for a manifest."""
        return {
            "digest": self.digest,
            "service": self.service,
            "service_version": self.service_version,
            "options": dict(self.options),
            "code": {"version": str(self.code), **vars(self.code)},
            "files_sha256": self.files_sha256,
            "files": {name: [vars(file) for file in files] for name, files in self.files.items()},
            "definitions": self.definitions,
        }

    @classmethod
    def parse(cls, manifest: Mapping[str, Any], where: object) -> Self:
        """The data version in a manifest.

        Args:
            manifest: A manifest's content.
            where: Names it in an error.

        Raises:
            DataError: There is none in it, or it does not fit its own digest.
        """
        try:
            said = manifest[KEY]
            code = {name: said["code"][name] for name in ("release", "sources_sha256", "commit")}
            version = cls(
                service=said["service"],
                service_version=said["service_version"],
                definitions=said["definitions"],
                options=said["options"],
                files={name: tuple(DataFile(**file) for file in files) for name, files in said["files"].items()},
                code=CodeVersion(**code),
            )
            if version.digest != said["digest"]:
                raise ValueError(f"it does not fit its digest {said['digest']}")
        except (KeyError, TypeError, ValueError, AttributeError) as fault:
            raise DataError(f"{where}: no data version, or a damaged one ({type(fault).__name__}: {fault}); make it again") from None
        return version


def _sha256(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
