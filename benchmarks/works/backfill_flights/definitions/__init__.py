"""24 real-time features from four views: the shipped example's, and five more."""
