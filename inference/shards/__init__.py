"""A model cut by a declared key: which shard answers which request, and the boosters of those that are needed now."""
