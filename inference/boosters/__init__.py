"""A LightGBM booster: its file, checked and loaded; its trees, asked together or cut; many of them, held within a budget."""
