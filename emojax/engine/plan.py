"""Batch plans: which clips each training step takes, drawn on the host.

A plan is a plain integer array, so resident data, streamed data and a resumed
run all follow the same order, and the compiled program knows nothing of
subsets: the teacher's "equal number of clips per task" and the students' pass
over the union are two plans of one shape.
"""

from collections.abc import Sequence

import numpy as np


def steps_per_epoch(
  groups: Sequence[np.ndarray],
  clips_per_group: int,
  names: Sequence[str] = (),
) -> int:
  """Steps until the smallest group is used up (papers 000 and 001).

  Args:
    groups: Clip indices of every task subset.
    clips_per_group: Clips that a batch takes of each group.
    names: Names of the subsets, for the message.

  Raises:
    ValueError: If a group has fewer clips than one batch takes of it.
  """
  sizes = [len(group) for group in groups]
  smallest = min(sizes)
  if smallest < clips_per_group:
    which = f' ({names[sizes.index(smallest)]})' if names else ''
    raise ValueError(
      f'the smallest task subset{which} has {smallest} clips but a batch takes '
      f'{clips_per_group} of each: lower the batch size in config.train'
    )
  return smallest // clips_per_group


def epoch_plan(
  seed: Sequence[int],
  groups: Sequence[np.ndarray],
  steps: int,
  clips_per_group: int,
) -> np.ndarray:
  """Draws one epoch of one member.

  Every step takes `clips_per_group` clips of each group. A group is shuffled
  afresh and read without replacement; one that is used up before the epoch
  ends is shuffled again.

  Args:
    seed: Integers that name the epoch, e.g. (seed, generation, member, epoch).
    groups: Clip indices of every group.
    steps: Steps of the epoch.
    clips_per_group: Clips per group and step.

  Returns:
    int32 [steps, len(groups) * clips_per_group].
  """
  rng = np.random.Generator(
    np.random.Philox(np.random.SeedSequence(list(seed)))
  )
  need = steps * clips_per_group
  columns = []
  for group in groups:
    rounds = -(-need // len(group))
    order = np.concatenate([rng.permutation(group) for _ in range(rounds)])
    columns.append(order[:need].reshape(steps, clips_per_group))
  return np.concatenate(columns, axis=1).astype(np.int32)


def stack_plan(
  seed: int,
  generation: int,
  members: Sequence[int],
  epochs: Sequence[int],
  groups: Sequence[np.ndarray],
  steps: int,
  clips_per_group: int,
) -> np.ndarray:
  """Plans of several members and epochs, int32 [M, E, steps, B]."""
  batch = len(groups) * clips_per_group
  plan = np.zeros((len(members), len(epochs), steps, batch), np.int32)
  for i, member in enumerate(members):
    for j, epoch in enumerate(epochs):
      seeds = (seed, generation, member, epoch)
      plan[i, j] = epoch_plan(seeds, groups, steps, clips_per_group)
  return plan
