"""Clips: containers, windows, sampling, and the input pipeline."""
