"""Another generation of the store is served, once it is proven to hold what the one that is served does."""

from __future__ import annotations

from collections.abc import Sequence

from features.plan import ViewPlan
from inference.online.active_generation import project_of
from inference.online.store import OnlineStore
from infra import flink
from infra.settings import Settings
from jobs.control.deployed import forget_generation
from jobs.control.generations import job_name, read_active, serve
from jobs.generations.proof import lines, prove
from jobs.report.progress import spinner
from schemas.errors import SettingError


def switch(settings: Settings, store: OnlineStore, views: Sequence[ViewPlan], generation: int | None, *, keep: bool, despite: bool) -> bool:
    """Serve another generation, and end and remove those before it; what is done is printed on the way.

    Args:
        settings: Of the cluster and the control topic.
        store: That is switched.
        views: All that the generations hold.
        generation: Which; the one after that which is served when None.
        keep: Leave the others and their jobs as they are.
        despite: Switch also where they differ.

    Returns:
        Whether it is served now: not where they differ.

    Raises:
        SettingError: Nobody fills the generation.
        DataError: A stored value is damaged.
        ServiceError: The store, Kafka or Flink does not answer.
    """
    before = read_active(settings, store)
    target = before.generation + 1 if generation is None else generation
    if target != before.generation:
        if flink.Cluster(settings.flink_url).running(job_name(target)) is None:
            raise SettingError(
                f"switch: nobody fills generation {target}: job {job_name(target)} does not run; `tidemark rebuild` starts it"
            )
        proof = prove(settings, store, views, before.generation, target)
        print("\n".join(lines(proof, before.generation, target)))
        if not proof.holds and not despite:
            return False
        serve(settings, store, before.next(target))
    print(f"generation {target} is served", flush=True)
    if not keep:
        for other in sorted({before.generation, *range(1, target)} - {target}):
            _end(settings, store, other)
    return True


def _end(settings: Settings, store: OnlineStore, generation: int) -> None:
    name = job_name(generation)
    cluster = flink.Cluster(settings.flink_url)
    job = cluster.running(name)
    if job is not None:
        cluster.cancel(job.id)
        print(f"job {name} {job.id} cancelled", flush=True)
    with spinner() as tell:
        count = 0

        def removed(number: int) -> None:
            nonlocal count
            count += number
            tell(f"removing generation {generation}, {count:,} keys")

        total = store.remove(project_of(generation), removed=removed)
    forget_generation(settings, generation)
    if total:
        print(f"generation {generation}: {total:,} keys removed", flush=True)
