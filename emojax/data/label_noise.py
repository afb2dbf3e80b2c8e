"""Symmetric label noise: some labels become another class, drawn uniformly."""

from typing import NamedTuple

import numpy as np


class Flips(NamedTuple):
  """Labels with noise.

  Attributes:
    labels: int32 [N].
    flipped: bool [N], which of them were changed.
  """

  labels: np.ndarray
  flipped: np.ndarray


def symmetric(
  labels: np.ndarray, num_classes: int, rate: float, seed: int
) -> Flips:
  """Flips `round(rate * N)` labels to other classes (papers SCN and 003).

  What is flipped at a low rate is flipped in the same way at a higher one with
  the same seed, so that rates differ in nothing but the rate.

  Args:
    labels: Class numbers, int [N].
    num_classes: K, at least 2.
    rate: Share of the labels to flip, in [0, 1].
    seed: Seed of the draw, which depends on nothing else.

  Raises:
    ValueError: On a rate outside [0, 1], or labels that are no classes.
  """
  labels = np.asarray(labels)
  if not 0 <= rate <= 1:
    raise ValueError(f'label noise: rate {rate}, expected a share in [0, 1]')
  if num_classes < 2:
    raise ValueError(
      f'label noise: {num_classes} classes, expected two or more'
    )
  if labels.size and not 0 <= labels.min() <= labels.max() < num_classes:
    raise ValueError(
      f'label noise: labels in [{labels.min()}, {labels.max()}], expected '
      f'classes 0 to {num_classes - 1}'
    )
  rng = np.random.Generator(np.random.Philox(seed))
  order = rng.permutation(len(labels))
  shift = rng.integers(1, num_classes, len(labels))
  flipped = np.zeros(len(labels), bool)
  flipped[order[: round(rate * len(labels))]] = True
  noisy = np.where(flipped, (labels + shift) % num_classes, labels)
  return Flips(noisy.astype(np.int32), flipped)
