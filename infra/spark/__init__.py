"""How Spark is started: its Java, its Python, its log."""
