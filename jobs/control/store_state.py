"""What the served generation of the online store says that it lacks, and whether it is the one that was written: a line each, with what mends it."""

from __future__ import annotations

from inference.online.active_generation import read_active
from inference.online.connection import connect
from inference.online.frontier import NEVER_MS
from infra.settings import Settings
from jobs.control.deployed import Deployed
from schemas.errors import ServiceError, TidemarkError
from schemas.times import show_ms
from schemas.wording import quantity

_MENDS = "`tidemark rebuild --switch` fills it anew"


def problems(settings: Settings) -> list[str]:
    """Of the generation that is served; where the store does not answer, that."""
    try:
        store = connect(settings.redis_url)
        serving = read_active(store)
        state = store.frontiers(project=serving.project).state()
    except TidemarkError as fault:
        return [str(fault)]
    found = [
        f"view {view} has lost data, is complete since {show_since(since_ms)}, and windows that begin before are served stale; {_MENDS}"
        for view, since_ms in state.since_ms.items()
    ]
    if state.suspects:
        found.append(
            f"it is another server than the one that was written to, and may lack records of {quantity(state.suspects, 'partition')} of the tiles topics: "
            "all is served stale until the next of each has come"
        )
    try:
        known = Deployed.read(settings).stores.get(str(serving.generation))
    except ServiceError:
        return found
    if known is not None and known["incarnation"] != state.incarnation:
        found.append(
            f"it is not the store that materialize has written ({known['incarnation']}): it has lost data, or is another; {_MENDS}"
        )
    return found


def show_since(ms: int | None) -> str:
    """Since when a view is complete, as users read it."""
    return "the beginning" if ms is None else "no time yet" if ms == NEVER_MS else show_ms(ms)
