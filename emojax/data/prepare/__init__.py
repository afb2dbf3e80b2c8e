"""Prepares a data set: its command line and what writes the shards."""
