"""The same payments, of producers that are trusted."""
