"""Plan → Feast: the names and shapes of the objects, and their description as text. Feast itself is not imported here."""

from __future__ import annotations

from features.columns.column import Column
from features.plan import Plan, ServicePlan, ViewPlan
from schemas.types import DataType

# One feature of the same name in each: Feast 0.67 mixes up sources of on-demand views whose features share a short name
# (`_augment_response_with_on_demand_transforms` drops "features of other views" by that name).
TILES = "{view}__tiles"
OLDER = "{view}__older"
FRONTIER = "{view}__frontier"
SINCE = "{view}__since"
REQUEST = "{service}__request"
AS_OF = "as_of_ms"

_FEAST_TYPES = {
    DataType.BOOLEAN: "Bool",
    DataType.INT64: "Int64",
    DataType.FLOAT64: "Float64",
    DataType.STRING: "String",
    DataType.TIMESTAMP: "Int64",  # ms since the epoch: Feast's UnixTimestamp holds whole seconds
    DataType.BYTES: "Bytes",
}


def feast_type(type_: DataType) -> str:
    """The name of the type in `feast.types`."""
    return _FEAST_TYPES[type_]


def join_keys(plan: Plan) -> dict[str, Column]:
    """Feast's entities: one per key column, since a Feast entity has one join key; a view lists several."""
    return {key.name: key for _, view in sorted(plan.views.items()) for key in view.keys}


def describe_view(view: ViewPlan) -> str:
    """The Feast objects of one view, as text that a reviewer can read."""
    tiles, older, frontier, since = (name.format(view=view.name) for name in (TILES, OLDER, FRONTIER, SINCE))
    keys = ", ".join(key.name for key in view.keys)
    lines = [
        *(f"Entity {key.name}: join key {key.name} {feast_type(key.type)}" for key in view.keys),
        f"FeatureView {tiles}({keys})",
        f"  {tiles}: Bytes",
        f"FeatureView {older}({keys})",
        f"  {older}: Bytes",
        f"FeatureView {frontier}()",
        f"  {frontier}: Int64",
        f"FeatureView {since}()",
        f"  {since}: Int64",
        f"RequestSource {AS_OF}",
        f"  {AS_OF}: Int64",
        f"OnDemandFeatureView {view.name}({tiles}, {older}, {frontier}, {AS_OF}), python",
        *(f"  {feature.name}: {feast_type(feature.type)}" for feature in view.features),
    ]
    return "\n".join(lines) + "\n"


def describe_service(service: ServicePlan) -> str:
    """The Feast feature service, as text."""
    lines = [f"FeatureService {service.name}"]
    if service.request_features:
        request = REQUEST.format(service=service.name)
        fields = sorted({name for feature in service.request_features for name in feature.expression.columns})
        lines += [f"  OnDemandFeatureView {request}({', '.join(fields)}), python"]
        lines += [f"    {feature.name}: {feast_type(feature.expression.type)}" for feature in service.request_features]
    lines += [f"  {view.name}" for view in service.views]
    return "\n".join(lines) + "\n"
