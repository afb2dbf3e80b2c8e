"""A study of learned uncertainty under label noise (paper 003).

One stack per method: all noise levels and repetitions are members of one
compiled program, which learn from labels of their own.
"""

from emojax.relative_uncertainty.experiment import run

__all__ = ['run']
