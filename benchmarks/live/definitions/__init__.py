"""Payments and what is asked of them."""
