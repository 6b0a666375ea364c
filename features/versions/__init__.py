"""What definitions were, beside what they are: the difference, and what values were computed from."""
