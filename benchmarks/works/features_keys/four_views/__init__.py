"""Four views of one source."""
