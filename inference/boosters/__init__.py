"""A LightGBM booster: its file, checked and loaded; its trees, walked as machine code or asked of LightGBM, together or cut; many of them, held within a budget."""
