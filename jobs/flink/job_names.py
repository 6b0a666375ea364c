"""What jobs are called on the cluster; their checkpoints go by it."""

from __future__ import annotations


def single_view_name(view: str) -> str:
    """The name of the features job of one view alone."""
    return f"features-{view}"
