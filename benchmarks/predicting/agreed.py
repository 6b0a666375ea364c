"""What is agreed between the processes of different environments: it imports nothing."""

MODEL = "model.txt"
SIZES = (1, 10, 100, 1_000)
"""How many rows are asked at once."""
