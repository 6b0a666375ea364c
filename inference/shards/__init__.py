"""A model in parts: by a declared key, where each request is answered by one shard, and by its trees, where stages add to one sum."""
