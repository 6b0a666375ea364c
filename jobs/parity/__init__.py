"""`tidemark parity`: what was served beside what Spark computes from history, value by value."""
