"""The kernel: tiles in, window values out. One piece of code for the online reader, Feast and history; no engine imported."""
