"""Payments: three views of three entities."""
