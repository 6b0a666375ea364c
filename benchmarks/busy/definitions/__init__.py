"""Payments of busy cards, in one window each."""
