"""Records of a predictions topic as a table: the request's fields, the features, and what the model said."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pyarrow as pa

from features.plan import ServicePlan
from inference.prediction_table import ASKED, SAID, SCORES, schema_of
from schemas.errors import DataError
from schemas.schema import SchemaSet
from schemas.wire import read_object


@dataclass(kw_only=True)
class PredictionBatch:
    """Collects records into columns.

    Attributes:
        service: Whose predictions.
        schemas: With the built-in schema `prediction`.
        own_version_only: Leave out and count those that were made with other definitions of the service.
        strangers: How many those were.
    """

    service: ServicePlan
    schemas: SchemaSet
    own_version_only: bool = False
    strangers: int = 0
    _columns: dict[str, list[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin with empty columns."""
        self._columns = {name: [] for name in schema_of(self.service, several=True).names}

    def add(self, body: bytes, *, where: str = "a prediction") -> None:
        """Take in a record as it is in the topic.

        Raises:
            DataError: It is no prediction, or one of other features.
        """
        try:
            schema, record = read_object(self.schemas, body)
        except DataError as error:
            raise DataError(f"{where}: {error}") from error
        if schema.name != "prediction":
            raise DataError(f"{where}: a record of schema {schema.name}, not a prediction")
        if self.own_version_only and record["service_version"] != self.service.fingerprint:
            self.strangers += 1
            return
        values = record["request"] | record["features"] | {name: record[name] for name in (*ASKED, *SAID)}
        absent = [name for name in self._columns if name not in values]
        if absent:
            raise DataError(f"{where}: has no {', '.join(absent)}; it was made with other definitions of {self.service.name}")
        for name, column in self._columns.items():
            column.append(_plain(values[name]))

    def table(self) -> pa.Table:
        """What was taken in; `scores` where there are any."""
        schema = schema_of(self.service, several=any(self._columns[SCORES]))
        return pa.table([pa.array(self._columns[field.name], type=field.type) for field in schema], schema=schema)


def prediction_table(service: ServicePlan, schemas: SchemaSet, bodies: Iterable[bytes]) -> pa.Table:
    """Predictions as columns.

    Raises:
        DataError: A record that is not a prediction of these features.
    """
    batch = PredictionBatch(service=service, schemas=schemas)
    for body in bodies:
        batch.add(body)
    return batch.table()


def _plain(value: Any) -> Any:
    """Times are ms, as in the maps of features and request fields."""
    return round(value.timestamp() * 1000) if isinstance(value, datetime) else value
