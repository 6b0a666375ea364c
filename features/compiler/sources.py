"""Sources → plan: a topic, its schema, its time and its identity."""

from __future__ import annotations

import re
from collections.abc import Mapping

from features.compiler import flink_avro
from features.compiler.declarations import Declared, Definitions, Problems, did_you_mean, duration_ms, field_fault, time_ms
from features.expressions.expression import Expression, parse
from features.plan import WRITTEN, SourcePlan
from features.vocabulary.words import FeatureService, Source
from schemas.envelope import Envelope
from schemas.errors import DefinitionError
from schemas.schema import BUILT_IN, Schema, SchemaSet
from schemas.types import DataType

_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,200}")
_RESERVED_FIELDS = frozenset({WRITTEN, "window_end", "window_start", "window_time"})
"""With all that begin with an underscore: columns that jobs and the archive's folders put beside the fields of an event."""


def analyse_sources(definitions: Definitions, schemas: SchemaSet, problems: Problems) -> dict[int, SourcePlan]:
    """The sources that are right, by the `id()` of their definition; the others' faults are noted."""
    plans: dict[int, SourcePlan] = {}
    topics: dict[str, Declared] = {}
    for declared in definitions.of(Source):
        assert isinstance(declared.value, Source)
        plan = _source(declared, declared.value, schemas, problems)
        if plan is None:
            continue
        other = topics.setdefault(plan.topic, declared)
        if other is not declared:
            problems.add(declared, f'topic "{plan.topic}" is already read by source "{other.name}" ({other.file}); a topic has one source')
        plans[id(declared.value)] = plan
    _alike_topics(definitions, plans, problems)
    return plans


def _alike_topics(definitions: Definitions, plans: Mapping[int, SourcePlan], problems: Problems) -> None:
    """Note topics that Kafka does not hold beside each other: it takes dots and underscores for the same."""
    seen = {f"{service.name}.predictions".replace(".", "_"): f"{service.name}.predictions" for service in definitions.of(FeatureService)}
    for declared in definitions.of(Source):
        plan = plans.get(id(declared.value))
        for topic in () if plan is None else (plan.topic, plan.dead_letter_topic, plan.late_topic):
            other = seen.setdefault(topic.replace(".", "_"), topic)
            if other != topic:
                problems.add(
                    declared,
                    f'topic "{topic}" differs from topic "{other}" in dots and underscores alone, and Kafka refuses the second of such',
                )


def parse_over(source: SourcePlan, text: str, where: str, non_finite: frozenset[str]) -> Expression:
    """An expression over the events of a source.

    Raises:
        DefinitionError: It cannot be parsed or typed, or reads a field that may be NaN.
    """
    expression = parse(text, source.columns, source.nullable, where, owner=f'source "{source.name}"')
    for name in expression.columns:
        if name in non_finite:
            raise DefinitionError(
                f'{where}: field "{name}" is declared non_finite in schema "{source.schema}", and engines order and add NaN differently; '
                "only fields without it can be computed with"
            )
    return expression


def non_finite_fields(schema: Schema) -> frozenset[str]:
    """The fields that may hold NaN or infinities."""
    return frozenset(field.name for field in schema.fields if field.non_finite_allowed)


def _source(declared: Declared, source: Source, schemas: SchemaSet, problems: Problems) -> SourcePlan | None:
    faults: list[str] = []
    if not isinstance(source.topic, str) or not _TOPIC.fullmatch(source.topic) or set(source.topic) == {"."}:
        faults.append(
            f"topic {source.topic!r} is not a topic's name; allowed are 1 to 200 ASCII letters, digits, dots, hyphens and underscores"
        )
    elif source.topic.startswith("tidemark.") or source.topic.endswith((".dlq", ".late")):
        faults.append(
            f'topic "{source.topic}" is reserved: Tidemark writes topics that begin with "tidemark." or end with ".dlq" or ".late"'
        )
    own = [name for name in schemas.names if name not in BUILT_IN]
    if source.schema not in own:
        faults.append(
            f'no schema "{source.schema}" ({source.schema}.avsc); {did_you_mean(str(source.schema), own) if own else "there are none"}'
        )
    lateness = duration_ms(source.lateness, "lateness", positive=False)
    dedupe = None if source.dedupe is None else duration_ms(source.dedupe, "dedupe", positive=True)
    earliest = None if source.earliest_event_time is None else time_ms(source.earliest_event_time, "earliest_event_time")
    faults += [value for value in (lateness, dedupe, earliest) if isinstance(value, str)]
    if source.dedupe is not None and source.id is None:
        faults.append("dedupe= needs id=, the field by which repeats are known")
    if not isinstance(source.trusted, bool):
        faults.append(f"trusted must be True or False, got {source.trusted!r}")
    envelopes = [str(envelope) for envelope in Envelope]
    if source.envelope is not None and source.envelope not in envelopes:
        faults.append(f"envelope must be one of {', '.join(envelopes)}, got {source.envelope!r}")
    elif source.envelope is not None and source.trusted is True:
        faults.append("envelope= is of records that the gate decodes; a trusted source holds those of its schema alone")
    schema = schemas.current(source.schema) if source.schema in own else None
    if schema is not None:
        faults += _field_faults(source, schema)
        if source.trusted is True:
            faults += [f'trusted: schema "{schema.name}": {fault}' for fault in flink_avro.faults(schema)]
    for fault in faults:
        problems.add(declared, fault)
    if faults or schema is None or isinstance(lateness, str) or isinstance(dedupe, str) or isinstance(earliest, str):
        return None
    return SourcePlan(
        name=declared.name,
        topic=source.topic,
        schema=source.schema,
        columns=schema.columns,
        nullable=schema.nullable,
        event_time=source.event_time,
        lateness_ms=lateness,
        id=source.id,
        dedupe_ms=dedupe,
        trusted=source.trusted,
        earliest_ms=earliest,
        envelope=None if source.envelope is None else Envelope(source.envelope),
    )


def _field_faults(source: Source, schema: Schema) -> list[str]:
    owner = f'schema "{schema.name}"'
    reserved = [name for name in schema.columns if name.startswith("_") or name.lower() in _RESERVED_FIELDS]
    faults = [f'{owner} has a field "{name}", a name that is reserved for the pipeline; rename the field' for name in reserved]
    roles: list[tuple[str, str, tuple[DataType, ...], str]] = [("event_time", source.event_time, (DataType.TIMESTAMP,), "timestamp-millis")]
    if source.id is not None:
        roles.append(("id", source.id, (DataType.STRING, DataType.INT64), "string or int64"))
    hints = {field.name: field.hint for field in schema.fields}
    for role, name, types, allowed in roles:
        fault = field_fault(name, schema.columns, owner, role)
        if fault is None and schema.columns[name] not in types:
            fault = f'{role}: field "{name}" of {owner} is {schema.columns[name]}; allowed is {allowed}{hints[name]}'
        elif fault is None and name in schema.nullable:
            fault = f'{role}: field "{name}" of {owner} may be null; {role} may not'
        faults += [fault] if fault else []
    return faults
