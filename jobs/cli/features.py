"""`tidemark features SERVICE --requests IN.parquet --out OUT.parquet`: online features as of each request's event time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import pyarrow.parquet as pq
import typer

from features.catalog import load, service_named
from features.plan import ServicePlan
from inference.online.connection import connect
from inference.online.reader import OnlineReader
from infra.settings import Settings
from schemas import parquet
from schemas.errors import SettingError
from schemas.machine_code import keep_in
from schemas.schema import SHIPPED, SchemaSet
from schemas.wording import quantity

COMMANDS = {"features": "Read a service's features online"}

_ROWS = 4096  # read from the store at a time


def command(
    service: Annotated[str, typer.Argument(help="A feature service of the definitions")],
    requests: Annotated[
        Path, typer.Option(help="Parquet file of requests, or a folder of them: the fields of the service's request schema")
    ],
    out: Annotated[Path, typer.Option(help="Where to write: request columns, features, frontier, stale")],
) -> None:
    """Read a service's features online, as of each request's event time."""
    settings = Settings.load()
    plan = service_named(service, load(settings.definitions, settings.schemas))
    keep_in(settings.machine_code)
    reader = OnlineReader(plan, connect(settings.redis_url))
    schemas = SchemaSet.load(settings.schemas or SHIPPED)
    batches = (reader.read(batch).table for batch in read_requests(requests, plan, schemas))
    first = next(batches)
    try:
        with pq.ParquetWriter(out, first.schema) as writer:
            writer.write_table(first)
            rows = first.num_rows
            for table in batches:
                writer.write_table(table)
                rows += table.num_rows
    except OSError as fault:
        raise SettingError(f"{out}: cannot be written: {fault.strerror or fault}") from fault
    print(f"{quantity(rows, 'row')}, {quantity(len(plan.feature_types), 'feature')}: {out}")


def read_requests(file: Path, service: ServicePlan, schemas: SchemaSet) -> Iterator[pa.Table]:
    """The requests of a file, or of all below a folder, in the types of the request schema, some thousand rows at a time, at least once.

    Raises:
        SettingError: There is no such file.
        DataError: It is not Parquet, or a column is missing, of another type, or null where it may not be.
    """
    for table in parquet.read(file, schemas.current(service.request.schema).fields, what="--requests"):
        for start in range(0, max(len(table), 1), _ROWS):
            yield table.slice(start, _ROWS)
