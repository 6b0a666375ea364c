"""Definitions → one logical plan → what each engine runs."""
