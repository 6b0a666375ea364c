"""`make bench`: speed beside the limit and the peers, measured in one run, with every output checked. A work is one file or folder in `works/`."""
