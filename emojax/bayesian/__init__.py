"""Paper 004: sampled networks and ensembles against annotators' votes.

`run` is the experiment; `python -m emojax.main --config=configs/bnn.py` calls
it.
"""

from emojax.bayesian.experiment import run

__all__ = ['run']
