"""What tiles keep: a class for each kind of partial, with its columns, its SQL in each engine, its merge, and what finishes it into a value."""
