"""Payments to be scored."""
