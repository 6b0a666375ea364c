"""What is written to a store may be lost while all goes well; refused, or let be, as a setting says."""

from __future__ import annotations

from collections.abc import Iterable

from features.plan import ViewPlan
from inference.online.store import OnlineStore
from schemas.errors import SettingError


def refuse_losses(store: OnlineStore, views: Iterable[ViewPlan], *, loss: str) -> None:
    """Refuse a store that may lose data unseen.

    Args:
        store: The one that is written.
        views: All that are written.
        loss: `refuse`, or `stale` where reads say what may be lost.

    Raises:
        ServiceError: It does not answer.
        SettingError: It may lose data; all that is wrong with it, a line each.
    """
    evicting, problems = store.evicts(), []
    ever = ", ".join(repr(view.name) for view in views if view.has_lifetime)
    if loss == "refuse":
        advice = "or let reads of it be stale by TIDEMARK_ONLINE_LOSS=stale"
        problems += [f"{why}, {advice}" for why in (evicting, store.forgets()) if why is not None]
    elif evicting is not None and ever:
        problems.append(f"TIDEMARK_ONLINE_LOSS: view {ever} has Lifetime features, which would begin anew with each key that is evicted")
    if problems:
        raise SettingError("\n".join(problems))
