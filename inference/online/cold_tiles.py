"""Tiles of which the older ones are in a value of their own: what is asked for, and how both are one again."""

from __future__ import annotations

from collections.abc import Sequence

from features.plan import ViewPlan
from features.tiles.codec import Packed, TileCodec
from inference.online.layout import older_fields, packed_of, tiles_fields

Reply = Sequence[bytes | None]


def all_fields(views: Sequence[ViewPlan]) -> list[bytes]:
    """The hash fields with all tiles of some views of an entity."""
    return [fields(view)[0] for fields in (tiles_fields, older_fields) for view in views]


def joined(codec: TileCodec, position: int, replies: Sequence[Reply]) -> list[Packed | None]:
    """One view's packed tiles, all of each entity.

    Args:
        codec: The view's.
        position: Of the view among those that were asked for.
        replies: An entity's each, with the values of `all_fields`.
    """
    return [codec.joined(packed_of(reply[position]), packed_of(reply[len(reply) // 2 + position])) for reply in replies]
