"""The members of a stack: noise levels x repetitions, and their labels."""

from typing import Any, NamedTuple

import numpy as np

from emojax import tasks
from emojax.data import label_noise
from emojax.data.clips import pipeline
from emojax.data.clips.clips import Dataset
from emojax.data.store.stored import Store

CLEAN, STORED = '0 %', 'stored'
MOST_REPETITIONS = 2**20


class Members(NamedTuple):
  """Labels of the training images, by member.

  Member m has noise level m // R and repetition m % R of R.

  Attributes:
    levels: Names of the noise levels: '0 %', '10 %', 'stored', ...
    repetitions: R.
    clean: int32 [N], labels without noise, as far as the data set knows them.
    labels: int32 [M, N], what each member is given.
  """

  levels: tuple[str, ...]
  repetitions: int
  clean: np.ndarray
  labels: np.ndarray

  @property
  def flipped(self) -> np.ndarray:
    """Which labels are wrong, bool [M, N]."""
    return self.labels != self.clean

  @property
  def noisy(self) -> np.ndarray:
    """Which members have a noise level above 0, bool [M]."""
    return np.repeat([x != CLEAN for x in self.levels], self.repetitions)

  def of_level(self, level: str) -> range:
    """The members of a noise level."""
    start = self.levels.index(level) * self.repetitions
    return range(start, start + self.repetitions)


def level_names(noise) -> list[str]:
  """Names of the noise levels of `config.noise`, in the members' order."""
  levels = [f'{100 * float(rate):g} %' for rate in noise.rates]
  return levels + [STORED] if noise.stored else levels


def from_config(config, dataset: Dataset, task: tasks.Task) -> Members:
  """Draws the members' labels.

  Args:
    config: Resolved configuration; `ensemble.size` members share the levels of
      `noise.rates` (and `noise.stored`) evenly.
    dataset: The data set.
    task: The task.

  Raises:
    ValueError: If the members cannot be shared evenly, the rates are not in
      order, or a label is soft.
  """
  given, clean = _labels(config.data, dataset, task)
  rates = [float(rate) for rate in config.noise.rates]
  if rates != sorted(set(rates)):
    raise ValueError(
      f'config.noise.rates={tuple(rates)}: give every rate once, lowest first'
    )
  levels = level_names(config.noise)
  size = config.ensemble.size
  if not levels or size % len(levels):
    raise ValueError(
      f'config.ensemble.size={size} members cannot be shared evenly by '
      f'{len(levels)} noise levels ({", ".join(levels)}): change it, '
      'config.noise.rates or config.noise.stored'
    )
  repetitions = size // len(levels)
  rows = [
    label_noise.symmetric(clean, len(task.labels), rate, seed).labels
    for rate in rates
    for seed in noise_seeds(config.seed, repetitions)
  ]
  rows += [given] * (size - len(rows))
  return Members(tuple(levels), repetitions, clean, np.stack(rows))


def noise_seeds(seed: int, repetitions: int) -> list[int]:
  """Seeds of the label noise of each repetition; no two runs share one.

  Were they seed + r, repetition 1 of seed 0 would learn from the wrong labels of
  repetition 0 of seed 1, and runs with other seeds would be no other runs.
  """
  return [seed * MOST_REPETITIONS + r for r in range(repetitions)]


def _labels(data, dataset: Dataset, task: tasks.Task):
  """Labels as the data set has them, and from before its own noise, int32 [N]."""
  given = hard_labels(dataset.train.targets[task.name], dataset.name)
  if data.name != 'prepared':
    return given, given
  store = Store(data.path)
  if store.table('train').clean is None:  # there was no noise
    return given, given
  clean = pipeline.open_clips(store, 'train', clean=True)
  place = {name: i for i, name in enumerate(clean.clip_id.tolist())}
  rows = [place[name] for name in dataset.train.clip_id.tolist()]
  return given, hard_labels(clean.targets[task.name], dataset.name)[rows]


def hard_labels(target: Any, name: str) -> np.ndarray:
  """Classes of still images, int32 [N]; images without a label get class 0.

  Raises:
    ValueError: If a label is a distribution, or clips have several frames.
  """
  value, mask = np.asarray(target.value), np.asarray(target.mask)
  if value.ndim != 3 or value.shape[1] != 1:
    raise ValueError(
      f'{name}: targets of shape {value.shape}; this experiment is about still '
      'images, so set config.data.clip_length=1'
    )
  if (value[mask > 0].max(-1) < 1).any():
    raise ValueError(
      f'{name} has distributions as labels: prepare it with one class an image '
      '(FER+: --option rule=majority)'
    )
  return value[:, 0].argmax(-1).astype(np.int32)
