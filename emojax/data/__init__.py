"""Data sets: containers, readers, generators and clips."""
