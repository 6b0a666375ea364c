"""How the messages of a source's topic are read: one decoder with one set of limits, for the gate and for whoever reads the topic again."""

from __future__ import annotations

from features.plan import SourcePlan
from infra.settings import Settings
from schemas.registry import Registry
from schemas.schema import SchemaSet
from schemas.wire import Decoder


def decoder(source: SourcePlan, schemas: SchemaSet, settings: Settings) -> Decoder:
    """What reads the messages of a source, or of a service's requests.

    Raises:
        DefinitionError: The source's schema is not there or lacks a field.
        SettingError: The registry's address is not one.
    """
    return Decoder(
        schemas,
        source.schema,
        registry=None if settings.registry is None else Registry(settings.registry),
        event_time=source.event_time,
        required=() if source.id is None else (source.id,),
        envelope=source.envelope,
        earliest_ms=source.earliest_ms,
        max_ahead_ms=settings.future_skew_ms,
        max_bytes=settings.max_record_bytes,
    )
