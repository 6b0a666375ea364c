"""A features job of one view beside the job of its source: so a view begins without a restart of what computes the others."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from features.catalog import view_named
from features.plan import Plan, SourcePlan, ViewPlan
from infra import flink
from infra.settings import Settings
from jobs.flink.job_names import single_view_name


def consumer_group(source: SourcePlan, only: Sequence[ViewPlan] = ()) -> str:
    """Under which the job of a source commits what it has read; one beside it, of some views only, has its own."""
    return ".".join(("tidemark.features", source.name, *sorted(view.name for view in only)))


def only(plan: Plan, view: str) -> Plan:
    """The plan of one view alone.

    Raises:
        SettingError: There is no such view.
    """
    found = view_named(plan, view, where="--only: ")
    return replace(plan, views={view: found}, sources={found.source.name: found.source})


def running(settings: Settings) -> set[str]:
    """The names of the jobs that have not ended. Raises ServiceError when Flink does not answer."""
    return flink.Cluster(settings.flink_url).names()


def without_others(plan: Plan, settings: Settings) -> Plan:
    """The plan without the views that have a job of their own running, so that none is computed twice.

    Raises:
        ServiceError: Flink does not answer.
    """
    names = running(settings)
    others = {name for name in plan.views if single_view_name(name) in names}
    for name in sorted(others):
        logging.getLogger("tidemark").warning("view %s is computed by job %s, and left out here", name, single_view_name(name))
    return replace(plan, views={name: view for name, view in plan.views.items() if name not in others})
