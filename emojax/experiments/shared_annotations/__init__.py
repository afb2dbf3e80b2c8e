"""Paper 002: multitask learning over several databases, and sharing their annotations."""
