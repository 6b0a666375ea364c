"""Vocabulary, expressions, compiler."""
