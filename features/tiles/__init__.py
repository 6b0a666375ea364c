"""Tiles of many entities, and as the bytes that the online store keeps of one."""
