"""One view of each source: the same of 1,000 cards, of 100,000 and of a million."""
