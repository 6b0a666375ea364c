"""What the streaming jobs share: their shape, their gate, their graph's way to a cluster, and where they begin."""
