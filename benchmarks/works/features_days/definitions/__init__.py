"""One view of each source: the same of a day, of a month and of ten years."""
