"""Teachers of another run, so that students of several kinds have the same ones.

`distill.teachers=RUN` takes the teachers of a run as they are. It must be a run that
would train the same ones: the same settings but for those of students, of scores and
of how it is computed, and the same data by its data.json. What is taken are weights,
chosen epochs and curves; soft labels and predictions are made of them as ever. Of more
teachers than this run has (`ensemble.size`) the first are taken: members draw by their
number.
teachers.json keeps where they came from and a digest.
"""

import hashlib
import json
import pathlib
from typing import Any, NamedTuple

import jax
import numpy as np

from emojax.data.clips.clips import Dataset
from emojax.engine import checkpoint, digests, optimisation
from emojax.evaluation import Predictions
from emojax.experiments.distillation.published import TEACHERS
from emojax.experiments.protocol import predictions_path
from emojax.runtime import damage, provenance, workdir
from emojax.settings import flatten, is_how, renamed

FILE = 'teachers.json'
# Settings that teachers do not depend on, beside `is_how`.
FREE = (
  'distill.',
  'eval.',
  'generations',
  'loss.correct_teachers',
  'loss.reweight_students',
)
SIZE = 'ensemble.size'
# Where data lie, and whether they are read at once: what they are is in data.json.
PLACES = ('data.path', 'data.memory_gib')


class TeachersError(ValueError):
  """The teachers of a run cannot be taken; says why."""


class Best(NamedTuple):
  """Trained members, as the engine's own best ones.

  Attributes:
    params: On the mesh, packed.
    model_state: On the mesh, packed.
    epoch: Of each member, [M].
  """

  params: Any
  model_state: Any
  epoch: Any


def from_config(config) -> pathlib.Path | None:
  """The run whose teachers are taken; None for teachers of one's own."""
  part = config.get('distill', {})
  found = optimisation.setting(part, 'teachers', 'distill')
  return pathlib.Path(found) if found and config.generations else None


def check_settings(path: pathlib.Path, config: dict[str, Any]):
  """Raises TeachersError unless a run would train the same teachers.

  Args:
    path: The run's folder.
    config: The configuration of this run, as nested dictionaries.
  """
  wanted = json.loads(json.dumps(flatten(config)))  # tuples become lists
  found = _settings(path, wanted)
  marker = predictions_path(path, TEACHERS)
  if not marker.is_file():
    raise TeachersError(
      f'config.distill.teachers={path} has no finished teachers ({marker.name} is '
      'missing): give the command that trains it again'
    )
  if wanted.get(SIZE, 0) < found.get(SIZE, 0):
    wanted[SIZE] = found[SIZE]
  differing = [
    f'  {key}: {found.get(key, "(absent)")!r} there, '
    f'{wanted.get(key, "(absent)")!r} now'
    for key in sorted(found.keys() | wanted.keys())
    if not (key.startswith(FREE) or is_how(key))
    and key not in PLACES
    and found.get(key) != wanted.get(key)
  ]
  if differing:
    raise TeachersError(
      f'config.distill.teachers={path} has other teachers than this run would '
      'train:\n'
      + '\n'.join(differing)
      + '\nGive the same settings as there, or '
      'leave distill.teachers out.'
    )


def _settings(path: pathlib.Path, wanted: dict[str, Any]) -> dict[str, Any]:
  """All settings of a run; those that it is older than do nothing there."""
  file = path / 'config.json'
  if not path.is_dir():
    raise TeachersError(
      f'config.distill.teachers={path}: there is no such folder'
    )
  try:
    stored = renamed(json.loads(file.read_text())['config'])
    if stored['experiment'] != 'distillation':
      raise ValueError(f'a run of {stored["experiment"]!r}')
    neutral = optimisation.NEUTRAL.items()
    return {k: v for k, v in neutral if k in wanted} | flatten(stored)
  except (
    AttributeError, KeyError, OSError, RecursionError, TypeError, ValueError
  ) as error:  # fmt: skip
    raise TeachersError(
      f'config.distill.teachers={path}: {file} is not of a run of distillation '
      f'({type(error).__name__}: {error})'
    ) from error


def check_data(path: pathlib.Path, dataset: Dataset):
  """Raises TeachersError unless a run learned from these data."""
  kept = provenance.read(path)
  if kept is None:
    raise TeachersError(
      f'config.distill.teachers={path} does not say what it was trained on '
      f'({provenance.FILE} is missing): leave distill.teachers out'
    )
  parts = {'train': dataset.train, 'val': dataset.val}
  lines = [
    f'{name}: {", ".join(found)}'
    for name, clips in parts.items()
    if (found := provenance.part_differences(kept, name, clips))
    or name not in kept['sets']
  ]
  if lines:
    raise TeachersError(
      f'config.distill.teachers={path} has learned from other data: '
      + '; '.join(lines)
    )


def take(
  path: pathlib.Path,
  folder: workdir.Workdir,
  schema,
  trainer,
  members: int,
) -> Best:
  """Reads the teachers of a run that has been checked.

  Args:
    path: Their run.
    folder: Of this run, which gets their lines of metrics.jsonl and teachers.json.
    schema: The tasks.
    trainer: Of teachers, whose devices they are put on.
    members: How many there are here; the first of those there are taken.

  Raises:
    CheckpointError: If their files are damaged.
  """
  marker = predictions_path(path, TEACHERS)
  with damage.explained(marker):
    epochs = Predictions.load(marker, schema).epochs
  weights = checkpoint.load_tree(path / 'checkpoints' / TEACHERS)
  weights = jax.tree.map(lambda array: array[:members], weights)
  found = digests.of_tree(weights)
  whole = hashlib.sha256(json.dumps(found, sort_keys=True).encode())
  lines = _curves(path / 'metrics.jsonl', members)
  folder.trim_metrics(lambda line: line['generation'] != TEACHERS)
  folder.append_metrics(lines)
  said = {'run': str(path.resolve()), 'weights': whole.hexdigest()}
  workdir.write_json(folder / FILE, said)
  epoch = trainer.place(np.asarray(epochs[:members], np.int32))
  params, model_state = trainer.place_weights(weights)
  return Best(params, model_state, epoch)


def _curves(path: pathlib.Path, members: int) -> list[dict[str, Any]]:
  """Lines of the teachers; of a run that was killed the last may be torn."""
  if not path.is_file():
    return []
  lines = []
  for text in path.read_text().splitlines():
    try:
      line = json.loads(text)
      if line['generation'] == TEACHERS and line['member'] < members:
        lines.append(line)
    except (KeyError, TypeError, ValueError):
      continue
  return lines
