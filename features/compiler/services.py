"""Feature services → plan: one request, its own features, those of its views, and the label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from features.compiler.declarations import Declared, Definitions, Problems, did_you_mean, field_fault
from features.compiler.sources import parse_over
from features.compiler.views import RESERVED_FEATURES, feature_name_fault
from features.plan import LabelPlan, RequestFeature, ServicePlan, SourcePlan, ViewPlan
from features.vocabulary.derived import DerivedFeature, derived_feature
from features.vocabulary.words import FeatureService, FeatureView, Label, Source
from schemas.errors import DefinitionError
from schemas.types import DataType

_REQUEST_MAY_HAVE = frozenset({"event_time", "request_id"})
_LABEL_TYPES = (DataType.BOOLEAN, DataType.INT64, DataType.FLOAT64)


def analyse_services(
    definitions: Definitions,
    sources: Mapping[int, SourcePlan],
    views: Mapping[int, ViewPlan],
    non_finite: Mapping[str, frozenset[str]],
    problems: Problems,
) -> dict[str, ServicePlan]:
    """The services that are right, by name; the others' faults are noted."""
    plans: dict[str, ServicePlan] = {}
    for declared in definitions.of(FeatureService):
        service = declared.value
        assert isinstance(service, FeatureService)
        before = len(problems.lines)
        request = _source(declared, service.request, "request", definitions, sources, problems)
        chosen = _views(declared, service, definitions, views, problems)
        if request is None:
            continue
        _request_faults(declared, request, chosen, problems)
        own = _request_features(declared, service, request, non_finite[request.name], problems)
        _unique(declared, request, own, chosen, problems)
        derived = _derived(declared, service.derived, request, own, chosen, problems)
        label = _label(declared, service.label, request, definitions, sources, non_finite, problems)
        if len(problems.lines) == before:
            plans[declared.name] = ServicePlan(
                name=declared.name, request=request, views=chosen, request_features=own, label=label, derived=derived
            )
    return plans


def _source(
    declared: Declared, value: object, role: str, definitions: Definitions, sources: Mapping[int, SourcePlan], problems: Problems
) -> SourcePlan | None:
    if not isinstance(value, Source):
        problems.add(declared, f"{role} must be a Source, got {type(value).__name__}")
    elif definitions.find(value) is None:
        problems.add(declared, f"{role} is not assigned to a variable of the definitions")
    return sources.get(id(value))


def _views(
    declared: Declared, service: FeatureService, definitions: Definitions, views: Mapping[int, ViewPlan], problems: Problems
) -> tuple[ViewPlan, ...]:
    if isinstance(service.views, str) or not isinstance(service.views, Sequence):
        problems.add(declared, f"views must be a list of FeatureViews, got {type(service.views).__name__}")
        return ()
    chosen: list[ViewPlan] = []
    for position, view in enumerate(service.views):
        if not isinstance(view, FeatureView):
            problems.add(declared, f"views[{position}] must be a FeatureView, got {type(view).__name__}")
        elif definitions.find(view) is None:
            problems.add(declared, f"views[{position}] is not assigned to a variable of the definitions")
        elif id(view) in views and views[id(view)] in chosen:
            problems.add(declared, f'view "{views[id(view)].name}" is there twice')
        elif id(view) in views:
            chosen.append(views[id(view)])
    return tuple(chosen)


def _request_faults(declared: Declared, request: SourcePlan, views: Sequence[ViewPlan], problems: Problems) -> None:
    owner = f'request source "{request.name}"'
    if request.id is None:
        problems.add(declared, f"{owner} needs id=, the field that identifies a request")
    for name in request.columns:
        if name.lower() in RESERVED_FEATURES - _REQUEST_MAY_HAVE:
            problems.add(declared, f'{owner} has a field "{name}", which is reserved: scored rows have a column of this name')
    for view in views:
        for key in view.keys:
            fault = field_fault(key.name, request.columns, owner, f'key of view "{view.name}"')
            if fault is None and request.columns[key.name] is not key.type:
                fault = (
                    f'key "{key.name}" is {key.type} in view "{view.name}" but {request.columns[key.name]} in {owner}; they must be equal'
                )
            if fault is not None:
                problems.add(declared, fault)


def _request_features(
    declared: Declared, service: FeatureService, request: SourcePlan, non_finite: frozenset[str], problems: Problems
) -> tuple[RequestFeature, ...]:
    given = service.request_features
    if isinstance(given, str) or not isinstance(given, Mapping | Sequence):
        problems.add(declared, f"request_features must be field names, or name → expression, got {given!r}")
        return ()
    texts = given.items() if isinstance(given, Mapping) else [(name, f'"{name}"') for name in given]
    features: list[RequestFeature] = []
    for name, text in texts:
        fault = feature_name_fault(name)
        if fault is None and not isinstance(given, Mapping):
            fault = field_fault(name, request.columns, f'request source "{request.name}"', "request feature")
        if fault is not None:
            problems.add(declared, fault, str(name))
            continue
        with problems.caught(declared):
            expression = parse_over(request, text, f"{declared.name}.{name}", non_finite)
            if name in request.columns and (expression.root.op, expression.root.value) != ("column", name):
                problems.add(declared, f'the request has a field "{name}"; a feature of this name must be that field itself', name)
            features.append(RequestFeature(name=name, expression=expression))
    return tuple(features)


def _unique(declared: Declared, request: SourcePlan, own: Sequence[RequestFeature], views: Sequence[ViewPlan], problems: Problems) -> None:
    fields = {name.lower(): f'a field of the request ("{name}")' for name in request.columns}
    taken: dict[str, str] = {}
    named = [(feature.name, "the request features") for feature in own]
    named += [(feature.name, f'view "{view.name}"') for view in views for feature in view.features]
    if not named:
        problems.add(declared, "has no features; name views or request features")
    for name, owner in named:
        other = taken.get(name.lower()) or (
            fields.get(name.lower()) if name not in request.columns or owner != "the request features" else None
        )
        if other:
            problems.add(
                declared,
                f'feature "{name}" of {owner} has the name of {other if other.startswith("a field") else f"a feature of {other}"}; rename one',
            )
        taken.setdefault(name.lower(), owner)


def _derived(
    declared: Declared,
    given: object,
    request: SourcePlan,
    own: Sequence[RequestFeature],
    views: Sequence[ViewPlan],
    problems: Problems,
) -> tuple[DerivedFeature, ...]:
    if not isinstance(given, Mapping):
        problems.add(declared, f"derived must map names to functions, got {type(given).__name__}")
        return ()
    types = {feature.name: feature.expression.type for feature in own} | {f.name: f.type for view in views for f in view.features}
    taken = {name.lower() for name in (*types, *request.columns)}
    features: list[DerivedFeature] = []
    for name, function in given.items():
        fault = feature_name_fault(name)
        if fault is not None:
            problems.add(declared, fault, str(name))
            continue
        feature = derived_feature(name, function)
        if isinstance(feature, str):
            problems.add(declared, f"the derived function {feature}", name)
            continue
        if name.lower() in taken:
            problems.add(declared, "another feature or a field of the request has this name; rename one", name)
        taken.add(name.lower())
        for read in feature.inputs:
            if read not in types:
                problems.add(declared, f'derived from "{read}", which is no feature of the service; {did_you_mean(read, types)}', name)
            elif types[read] not in _LABEL_TYPES:
                problems.add(declared, f'derived from "{read}", which is {types[read]}; allowed is boolean, float64, int64', name)
        features.append(feature)
    return tuple(features)


def _label(
    declared: Declared,
    label: object,
    request: SourcePlan,
    definitions: Definitions,
    sources: Mapping[int, SourcePlan],
    non_finite: Mapping[str, frozenset[str]],
    problems: Problems,
) -> LabelPlan | None:
    if label is None:
        return None
    if not isinstance(label, Label):
        problems.add(declared, f"label must be a Label, got {type(label).__name__}")
        return None
    source = _source(declared, label.source, "source of the label", definitions, sources, problems)
    if source is None:
        return None
    fault = field_fault(label.on, source.columns, f'source "{source.name}"', "label on=")
    if fault is None and request.id is not None and source.columns[label.on] is not request.columns[request.id]:
        fault = f'label on= "{label.on}" is {source.columns[label.on]}, but the request\'s id "{request.id}" is {request.columns[request.id]}; they must be equal'
    if fault is not None:
        problems.add(declared, fault)
    with problems.caught(declared):
        where = f"{declared.name}.label"
        value = parse_over(source, label.value, where, non_finite[source.name])
        if value.type not in _LABEL_TYPES:
            raise DefinitionError(f'{where}: "{label.value}" is {value.type}; a label is boolean or a number')
        return LabelPlan(source=source, on=label.on, value=value)
    return None
