"""The Avro schema of a view's tiles topic, as Flink's own Avro format writes it."""

from __future__ import annotations

from features.plan import ViewPlan
from schemas.types import DataType

_AVRO: dict[DataType, object] = {
    DataType.BOOLEAN: "boolean",
    DataType.INT64: "long",
    DataType.FLOAT64: "double",
    DataType.STRING: "string",
    DataType.TIMESTAMP: {"type": "long", "logicalType": "timestamp-millis"},
    DataType.BYTES: "bytes",
}


def tile_avro_schema(view: ViewPlan) -> dict[str, object]:
    """The record that each message of `view.tiles_topic` holds.

    Key columns, `tile_start` and `revision` are never null; every tile column may be. As `AvroSchemaConverter` of Flink 2.3 derives it
    from the table, with `avro.timestamp_mapping.legacy` off.
    """
    own = [*((key.name, key.type) for key in view.keys), ("tile_start", DataType.TIMESTAMP), ("revision", DataType.INT64)]
    fields: list[dict[str, object]] = [{"name": name, "type": _AVRO[type_]} for name, type_ in own]
    fields += [{"name": column.name, "type": ["null", _AVRO[column.type]], "default": None} for column in view.tile_columns]
    return {"type": "record", "name": "record", "namespace": "org.apache.flink.avro.generated", "fields": fields}
