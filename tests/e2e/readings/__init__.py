"""A stream of meter readings with everything that goes wrong in real ones, and what must come of it, computed naively."""
