"""How sure a prediction is, and how probabilities are brought to what they say."""

from emojax.uncertainty.decomposition import (
  Uncertainty,
  decompose,
  entropy,
  label_uncertainty,
  multitask_uncertainty,
  probabilities,
  task_uncertainty,
)

__all__ = [
  'Uncertainty',
  'decompose',
  'entropy',
  'label_uncertainty',
  'multitask_uncertainty',
  'probabilities',
  'task_uncertainty',
]
