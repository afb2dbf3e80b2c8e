"""Paper 000: iterative self-distillation for uncertainty, and its studies."""
