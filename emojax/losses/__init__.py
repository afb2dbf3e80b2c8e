"""Losses of multitask emotion recognition (paper 000, Eqs. 1-13).

Supervision (teachers, hard labels) and distillation (students, soft labels)
share every function: a hard label is a soft label of 0 and 1. Values are per
element or per example; a reduction turns them into one number once, as a sum
over a count, so that missing labels (mask 0) have no influence at all.
"""

from emojax.losses.class_balance import class_weights, positive_weights
from emojax.losses.multitask import multitask_loss, task_loss
from emojax.losses.pointwise import (
  bce_with_logits,
  cross_entropy,
  example_weight,
  expected_value,
  kl_divergence,
)
from emojax.losses.reductions import (
  ccc,
  ccc_loss,
  masked_mean,
  masked_sum,
  with_frame_mask,
)
from emojax.losses.soft_targets import (
  Mix,
  draw_mix,
  mix_inputs,
  mix_targets,
  smooth_targets,
  smooth_values,
)

__all__ = [
  'Mix',
  'bce_with_logits',
  'ccc',
  'ccc_loss',
  'class_weights',
  'cross_entropy',
  'draw_mix',
  'example_weight',
  'expected_value',
  'kl_divergence',
  'masked_mean',
  'masked_sum',
  'mix_inputs',
  'mix_targets',
  'multitask_loss',
  'positive_weights',
  'smooth_targets',
  'smooth_values',
  'task_loss',
  'with_frame_mask',
]
