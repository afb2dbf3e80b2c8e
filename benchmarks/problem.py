"""The problem that both implementations are timed on; NumPy only.

A student of paper 000: every frame has soft labels of all three tasks, a batch
is a few clips of four frames, weights of tasks and classes are equal.
"""

import dataclasses

import numpy as np

from emojax import tasks

SCHEMA = tasks.ABAW2021
CLIP_LENGTH = 4
NUM_CLIPS = 16
LEARNING_RATE = 1e-3


@dataclasses.dataclass(frozen=True)
class Problem:
  """Clips with labels, and the clips of each step.

  Attributes:
    image: uint8 [N, L, H, W, 3].
    values: Soft labels by task, float32 [N, L, ...].
    plan: int32 [M, K, B] clips of each member's steps.
  """

  image: np.ndarray
  values: dict[str, np.ndarray]
  plan: np.ndarray


def make(size: int, frames: int, members: int, steps: int) -> Problem:
  """Draws the problem.

  Args:
    size: Height and width of the images.
    frames: Frames of a batch, a multiple of `CLIP_LENGTH`.
    members: M.
    steps: K; a call of more steps starts again from the first.

  Raises:
    ValueError: If the frames are no whole number of clips.
  """
  batch, rest = divmod(frames, CLIP_LENGTH)
  if rest or not 0 < batch <= NUM_CLIPS:
    raise ValueError(
      f'--frames {frames}: expected a multiple of {CLIP_LENGTH} up to '
      f'{CLIP_LENGTH * NUM_CLIPS}, as clips have {CLIP_LENGTH} frames'
    )
  rng = np.random.default_rng(0)
  shape = (NUM_CLIPS, CLIP_LENGTH)
  values = {}
  for task in SCHEMA:
    count = len(task.labels)
    if task.kind == 'categorical':
      value = rng.dirichlet(np.ones(count), shape)
    else:
      low = -1 if task.kind == 'binned' else 0
      value = rng.uniform(low, 1, (*shape, count))
    values[task.name] = value.astype(np.float32)
  plan = [
    [rng.permutation(NUM_CLIPS)[:batch] for _ in range(steps)]
    for _ in range(members)
  ]
  image = images(size, NUM_CLIPS * CLIP_LENGTH).reshape(*shape, size, size, 3)
  return Problem(image, values, np.array(plan, np.int32))


def images(size: int, frames: int) -> np.ndarray:
  """One clip of random frames, uint8 [1, frames, size, size, 3]."""
  rng = np.random.default_rng(0)
  return rng.integers(0, 256, (1, frames, size, size, 3), np.uint8)


def targets(values: dict[str, np.ndarray]) -> tasks.Targets:
  """The values with masks that say all of them count."""
  empty = tasks.empty_targets(SCHEMA, next(iter(values.values())).shape[:-1])
  return {
    name: tasks.Target(value, np.ones_like(empty[name].mask))
    for name, value in values.items()
  }
