"""Paper 003: learned uncertainty under label noise.

One stack per method: all noise levels and repetitions are members of one
compiled program, which learn from labels of their own.
"""
