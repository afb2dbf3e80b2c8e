"""What a model says of clean, corrupted and foreign faces, kept on disk.

Beside `benchmarks.routing`: predicting takes minutes, scoring seconds. Every set is
a file of its own, so that a run that was stopped goes on with what is missing.
"""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from emojax.data import load
from emojax.data.store.stored import Store
from emojax.data.transform import corruptions
from emojax.runtime import workdir
from emojax.trained import model as models

VALIDATION, TEST = 'validation', 'test'
FOREIGN = 'foreign'
BATCH = 64
SETTINGS = 'settings.json'
SEVERITIES = range(1, len(corruptions.SEVERITIES['noise']) + 1)


@dataclasses.dataclass(frozen=True)
class Sets:
  """Faces with votes, and foreign images without.

  Attributes:
    votes: Of validation and test, [N, V], as they are stored.
    images: Set -> function that makes its images, uint8 [N, H, W, C].
    foreign: Names of the foreign sets.
  """

  votes: dict[str, np.ndarray]
  images: dict[str, Callable[[], np.ndarray]]
  foreign: tuple[str, ...]


def sets(model: models.Model, data: str, foreign: str, seed: int) -> Sets:
  """The sets to predict, of the data that a model was trained on.

  Args:
    model: Its settings say which part of the training data chose its epochs.
    data: Folder of the prepared data.
    foreign: Folders of other prepared data, with commas between.
    seed: Of the corruptions.

  Raises:
    ValueError: If there are no votes.
  """
  settings = ConfigDict(model.metadata['config']['data'])
  settings.path, settings.ood_path = data, foreign
  dataset = load.from_config(settings)
  clips = {VALIDATION: dataset.val, TEST: dataset.test}
  for name, part in clips.items():
    if part.votes is None:
      raise ValueError(f'{data} has no votes for its {name} faces')
  images = {name: _stills(part) for name, part in clips.items()}
  images |= {
    f'{FOREIGN}-{name}': _stills(part) for name, part in dataset.ood.items()
  }
  grey = Store(data).spec.channels == 1
  images |= dict(_corrupted(images[TEST], seed, grey))
  votes = {name: _votes(part) for name, part in clips.items()}
  return Sets(votes, images, tuple(dataset.ood))


def _stills(clips) -> Callable[[], np.ndarray]:
  return lambda: np.asarray(clips.take(np.arange(len(clips))).image[:, 0])


def _votes(clips) -> np.ndarray:
  return np.asarray(clips.take(np.arange(len(clips))).votes[:, 0])


def _corrupted(test, seed: int, grey: bool) -> Iterator[tuple[str, Callable]]:
  """(name, images) of every kind and severity of corruption.

  Grey images, which are held as three equal channels, are corrupted as one: else
  noise would give them colours.
  """
  for i, kind in enumerate(corruptions.KINDS):
    for severity in SEVERITIES:
      key = jax.random.fold_in(jax.random.key(seed), 100 * i + severity)

      def make(kind=kind, severity=severity, key=key):
        images = test()[..., :1] if grey else test()
        return np.asarray(corruptions.jitted(kind, severity, key, images))

      yield corrupted_name(kind, severity), make


def corrupted_name(kind: str, severity: int) -> str:
  """Name of a corrupted test set."""
  return f'{kind}-{severity}'


def predict(
  model: models.Model,
  images: Mapping[str, Callable[[], np.ndarray]],
  task: str,
  folder: pathlib.Path,
  settings: Mapping[str, Any],
) -> dict[str, np.ndarray]:
  """Probabilities of every member, by set; those of before are read.

  Args:
    model: An ensemble.
    images: Set -> function that makes its images.
    task: The task.
    folder: Where predictions are kept.
    settings: What they depend on, JSON-able.

  Returns:
    Set -> float32 [M, N, E].

  Raises:
    ValueError: If the folder has predictions of other settings.
  """
  folder.mkdir(parents=True, exist_ok=True)
  settings = {**settings, 'model': _digest(model), 'task': task}
  _check(folder / SETTINGS, settings)
  found = {}
  for name, make in images.items():
    path = folder / f'{name}.npz'
    if not path.exists():
      print(f'predicting {name}', flush=True)
      output = model.predict(make(), batch=BATCH)
      workdir.write_arrays(path, {'members': output.members[task]})
    with np.load(path) as stored:
      found[name] = stored['members']
  return found


def _digest(model: models.Model) -> str:
  text = json.dumps(model.metadata, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()


def _check(path: pathlib.Path, settings: Mapping[str, Any]):
  """Raises ValueError if what is kept is of something else."""
  if not path.exists():
    workdir.write_json(path, dict(settings))
    return
  kept = json.loads(path.read_text())
  if kept != settings:
    other = [k for k, v in settings.items() if kept.get(k) != v]
    raise ValueError(
      f'{path.parent} has predictions of another {", ".join(other)}: choose '
      'another --out'
    )
