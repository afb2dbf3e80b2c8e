"""A run while it runs: its folder, session, progress, timing and compilation."""
