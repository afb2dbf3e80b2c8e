"""Metrics: `emotion` runs inside jitted programs, the others on the host."""
