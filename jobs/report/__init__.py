"""Reports that people read: one self-contained HTML file each, with small charts."""
