"""A model's folder: written, checked, loaded, and what goes in and comes out."""
