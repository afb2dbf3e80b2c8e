"""From padded clips to flat arrays of the frames that count."""

from typing import NamedTuple

import numpy as np

from emojax import tasks


class Frames(NamedTuple):
  """Labelled frames of one task in one set of clips.

  Attributes:
    index: Positions [F] in the flattened [N * L] frames.
    target: Labels and masks of these frames, leading shape [F].
    truth: Their true posteriors [F, ...], or None.
  """

  index: np.ndarray
  target: tasks.Target
  truth: np.ndarray | None


def valid(clips) -> np.ndarray:
  """Positions [F] of the frames that are not padding."""
  return np.flatnonzero(clips.frame_mask.reshape(-1) > 0)


def flatten(array: np.ndarray, leading: int = 0) -> np.ndarray:
  """Joins the clip and frame axes that follow `leading` other axes."""
  shape = array.shape
  return array.reshape(*shape[:leading], -1, *shape[leading + 2 :])


def labelled(task: tasks.Task, clips) -> Frames | None:
  """Returns the frames with a label of a task; None if there are none."""
  value, mask = (flatten(array) for array in clips.targets[task.name])
  counted = np.asarray(mask > 0 if mask.ndim == 1 else (mask > 0).any(-1))
  index = valid(clips)
  index = index[counted[index]]
  if not index.size:
    return None
  truth = None if clips.truth is None else flatten(clips.truth[task.name])
  return Frames(
    index,
    tasks.Target(value[index], mask[index]),
    None if truth is None else truth[index],
  )


def pick(logits: np.ndarray, index: np.ndarray) -> np.ndarray:
  """Logits [..., N, L, C] of the frames at `index`, [..., F, C]."""
  flat = logits.reshape(*logits.shape[:-3], -1, logits.shape[-1])
  return flat[..., index, :]
