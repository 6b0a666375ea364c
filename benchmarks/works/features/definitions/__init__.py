"""Payments of 4,000 cards, through the gate."""
