"""What runs: one file is one process or one command; all input and output is here."""
