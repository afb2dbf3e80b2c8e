"""Clips: containers, windows, sampling, and prepared data as clips."""
