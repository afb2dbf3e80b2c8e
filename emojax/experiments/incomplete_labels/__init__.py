"""Paper 001: multitask emotion recognition with incomplete labels."""
