"""`tidemark shadow VIEW OTHER`: a view that takes another's place, compared with it value by value, before a service moves to it."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn

from features.catalog import load, view_named
from features.plan import ViewPlan
from features.tolerances import view_rules
from inference.online.active_generation import read_active
from inference.online.connection import connect
from inference.online.view_diff import Compared, compare
from infra.settings import Settings
from jobs.report.text_table import aligned
from schemas.errors import DataError
from schemas.times import show_ms
from schemas.wording import quantity

COMMANDS = {"shadow": "Compare a view with the one that it is to replace"}


def command(
    view: Annotated[str, typer.Argument(help="The view that is served")],
    other: Annotated[str, typer.Argument(help="The view in its shadow")],
    points: Annotated[int, typer.Option(min=1, help="As of how many times, each a tile before the next")] = 12,
) -> int:
    """Compare the features that mean the same in two views, for every entity of the online store. Exit code 1 where a value differs."""
    settings = Settings.load()
    plan = load(settings.definitions, settings.schemas)
    one, two = (view_named(plan, name, where="shadow: ") for name in (view, other))
    store = connect(settings.redis_url)
    found: list[Compared] = []
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("comparing")
        for found in compare(store, one, two, project=read_active(store).project, points=points):
            progress.update(task, description=f"comparing, {sum(each.values for each in found):,} values")
    _show(one, two, found)
    values, different = sum(each.values for each in found), sum(each.different for each in found)
    if not values:
        raise DataError("shadow: nothing could be compared: no entity has whole windows in both views; see `tidemark bootstrap`")
    print(f"✗ {different:,} of {values:,} values differ" if different else f"✓ equal: {quantity(values, 'value')}")
    return int(different > 0)


def _show(one: ViewPlan, other: ViewPlan, found: list[Compared]) -> None:
    rules = view_rules(one)
    rows: list[tuple[str, ...]] = [(one.name, other.name, "allowed", "compared", "differing", "largest")]
    for each in found:
        largest = f"{each.largest:.2g}" if each.largest else "0"
        rows.append((each.one, each.other, rules[each.one], f"{each.values:,}", f"{each.different:,}", largest))
    print(aligned(rows))
    for each in found:
        for example in each.examples:
            print(f"{each.one} of {example.entity} at {show_ms(example.boundary_ms)}: {example.one} and {example.other}")
    paired = {each.one for each in found}, {each.other for each in found}
    for view, names in zip((one, other), paired, strict=True):
        alone = [feature.name for feature in view.features if feature.name not in names]
        if alone:
            print(f"only {view.name} has {', '.join(alone)}")
