"""Data sets: containers, readers, generators and input pipelines."""
