"""Runs that have been trained: their settings, label names and weights.

What evaluates or exports a run opens it here. A run may still be going on: its
finished generations are those whose weights and predictions are on disk.
"""

import dataclasses
import difflib
import importlib
import json
import os
import pathlib
import re
import types
import zipfile
import zlib
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from emojax import tasks
from emojax.data import load
from emojax.data.clips import evaluation_sets
from emojax.engine import checkpoint, flip, optimisation, stack
from emojax.engine.trainer import Trainer
from emojax.evaluation import Predictions, schema_from_json
from emojax.evaluation.context import FIT_SPLIT
from emojax.experiments.distillation import priors
from emojax.runtime import provenance
from emojax.uncertainty.prior import Prior

PyTree = Any

# What NumPy raises for files that are cut off or not its own.
DAMAGED = (
  EOFError,
  KeyError,
  OSError,
  RecursionError,
  TypeError,
  ValueError,
  zipfile.BadZipFile,
  zlib.error,
)
# Experiments whose networks can be rebuilt from the configuration.
SUPPORTED = ('distillation',)


class RunError(ValueError):
  """A folder is no run, or has not what is asked of it; says what to do."""


class UnknownPriorError(RunError):
  """Nobody knows any more with which class weights a run was trained."""


@dataclasses.dataclass(frozen=True)
class TrainedRun:
  """A run's folder, read.

  Attributes:
    path: The folder.
    config: The resolved configuration that it was trained with.
    environment: Versions and devices that it was trained with.
    generations: Names of the finished generations, in order.
    schema: What it predicts, as its predictions say.
    members: Members of every generation.
  """

  path: pathlib.Path
  config: ConfigDict
  environment: dict[str, Any]
  generations: tuple[str, ...]
  schema: tasks.Schema
  members: int

  def predictions(self, name: str) -> Predictions:
    """Logits that the run itself has written for a generation."""
    path = _predictions_path(self.path, name)
    with _readable(path):
      return Predictions.load(path, self.schema)

  def weights(self, name: str, members: Sequence[int]) -> PyTree:
    """{'params': ..., 'model_state': ...} of some members, NumPy [M, ...].

    Raises:
      CheckpointError: If they are missing or damaged.
      RunError: If a number is not finite.
    """
    path = _weights_path(self.path, name)
    tree = checkpoint.load_tree(path)
    tree = {'model_state': {}, **tree}  # a network may have no statistics
    index = np.array(members)
    tree = jax.tree.map(lambda array: array[index], tree)
    if not all(np.isfinite(array).all() for array in jax.tree.leaves(tree)):
      raise RunError(
        f'weights in {path} are not finite: the network has diverged or was '
        'damaged, and its answers would mean nothing; choose another '
        'generation or other members'
      )
    return tree

  def results(self) -> dict[str, Any] | None:
    """results.json; None if the run has not written it yet."""
    path = self.path / 'results.json'
    if not path.exists():
      return None
    try:
      found = json.loads(path.read_text())
      found['generations'], found['dataset']
    except DAMAGED as error:
      raise RunError(
        f'{path} cannot be read ({type(error).__name__}: {error}): give the '
        'command that trains the run again after moving that file away'
      ) from error
    return found

  def priors(self) -> dict[str, Prior]:
    """Log weights of the classes in training, by generation.

    Of the run's own file; of an older run without one, of its training data,
    which have to be at hand, unless it was trained without weights.

    Raises:
      UnknownPriorError: If the run has no such file, and its training data
        cannot be read or have changed.
      RunError: If the file is of no use.
    """
    found = self.stored_priors()
    if found is not None:
      return found
    targets = self._training_targets() if self.config.loss.reweight else {}
    every = priors.of_generations(self.config, self.schema, targets)
    return {name: every[self.number(name)] for name in self.generations}

  def stored_priors(self) -> dict[str, Prior] | None:
    """What priors.json says; None without it; raises RunError as `priors`."""
    try:
      found = priors.read(self.path, self.schema)
    except ValueError as error:
      raise RunError(str(error)) from error
    if found is not None and (missing := set(self.generations) - set(found)):
      raise RunError(
        f'{self.path / priors.FILE} lacks {", ".join(sorted(missing))}: move it '
        'away, and the weights are computed from the training data again'
      )
    return found

  def _training_targets(self) -> tasks.Targets:
    """Labels of the training clips; of embedded data, images are drawn, too."""
    data = self.config.data.copy_and_resolve_references()
    data.memory_gib, data.ood_path = 0.0, ''
    try:
      dataset = load.from_config(data)
      found = [task.to_json() for task in dataset.schema]
      tasks.check_schema(found, self.schema, data.path or data.name)
      provenance.check_part(self.path, 'train', dataset.train)
    except (OSError, ValueError) as error:
      raise UnknownPriorError(
        f'{self.path} was trained before {priors.FILE} was kept, and its class '
        f'weights cannot be computed from its training data ({error})'
      ) from error
    return dataset.train.targets

  def choose_generations(self, names: Sequence[str] | None) -> tuple[str, ...]:
    """Checks names of generations; all finished ones if None.

    Raises:
      RunError: If one is not finished or does not exist.
    """
    if names is None:
      return self.generations
    for name in names:
      if name not in self.generations:
        near = difflib.get_close_matches(name, self.generations, 1)
        hint = f'; did you mean {near[0]}?' if near else ''
        raise RunError(
          f'{self.path} has no finished generation {name!r}, only '
          f'{", ".join(self.generations)}{hint}'
        )
    return tuple(name for name in self.generations if name in names)

  def choose_members(self, members: Sequence[int] | None) -> tuple[int, ...]:
    """Checks numbers of members; all if None."""
    if members is None:
      return tuple(range(self.members))
    wrong = [m for m in members if not 0 <= m < self.members]
    if wrong or not members or len(set(members)) < len(members):
      raise RunError(
        f'members {list(members)}: expected different numbers from 0 to '
        f'{self.members - 1}'
      )
    return tuple(sorted(members))

  def number(self, name: str) -> int:
    """0 for the teachers, k for the k-th generation."""
    found = re.search(r'\d+$', name)
    return int(found.group()) if found else 0

  def trainer(self, members: int, config: ConfigDict | None = None) -> Trainer:
    """A trainer that predicts with as many members, but has nothing to train.

    Args:
      members: Their number.
      config: The run's configuration with other settings under `runtime`.
    """
    config = ConfigDict((config or self.config).to_dict())
    config.ensemble.size = members
    if 'pretrained' in config.model:
      config.model.pretrained = ''  # the weights are in the run
    r = config.runtime
    mesh = stack.make_mesh(r.member_devices, r.batch_devices, members)
    module = self.experiment()
    data = types.SimpleNamespace(schema=self.schema)
    method = module.method_from_config(config, data, mesh)
    if optimisation.setting(config.eval, 'flip', 'eval'):
      method = flip.with_flip(method, self.schema)
    settings = module.settings_from_config(config)
    return Trainer(method, settings, mesh, None, None, None)

  def validation(self):
    """Clips with the labels of the run's own validation set.

    The run's predictions of them are on disk, so no image needs to be read.

    Raises:
      RunError: If the data are not there any more, or have changed.
    """
    try:
      found = self._validation_clips()
    except (OSError, ValueError) as error:
      raise RunError(
        f'the data that {self.path} was trained on cannot be read ({error})'
      ) from error
    logits = self.predictions(self.generations[0]).logits[FIT_SPLIT]
    if any(x.shape[1:3] != found.frame_mask.shape for x in logits.values()):
      raise RunError(
        f'the data that {self.path} was trained on have changed since: its '
        'predictions are of other validation clips'
      )
    try:
      provenance.check_part(self.path, FIT_SPLIT, found)
    except provenance.DataChangedError as error:
      raise RunError(str(error)) from error
    return found

  def _validation_clips(self):
    data = self.config.data.copy_and_resolve_references()
    if data.name == 'embedded':
      return evaluation_sets.open_split(data, FIT_SPLIT).clips
    data.memory_gib, data.ood_path = 0.0, ''
    return load.from_config(data).val

  def experiment(self):
    """The module that the run was made by."""
    from emojax.experiments import EXPERIMENTS

    name = self.config.experiment
    return importlib.import_module(EXPERIMENTS[name])


def open_run(path: str | os.PathLike) -> TrainedRun:
  """Opens the folder of a run with at least one finished generation.

  Raises:
    RunError: If it is missing, no run, of an experiment whose runs cannot be
      opened, or has no finished generation.
  """
  path = pathlib.Path(path)
  stored = _stored_config(path)
  if (name := stored['config']['experiment']) not in SUPPORTED:
    raise RunError(
      f'{path} is a run of the experiment {name!r}: evaluating it again and '
      'exporting its models are not supported yet, only for runs of '
      f'{", ".join(SUPPORTED)}; its own report and predictions are in the folder'
    )
  names = _finished(path)
  if not names:
    raise RunError(
      f'{path} has no finished generation yet: give the command that trains it '
      'again to go on, and wait for the first generation'
    )
  headers = [_header(path, name) for name in names]
  schema, members = headers[0]
  return TrainedRun(
    path=path,
    config=ConfigDict(stored['config']),
    environment=stored.get('environment', {}),
    generations=names,
    schema=schema,
    members=members,
  )


def _stored_config(path: pathlib.Path) -> dict[str, Any]:
  if not path.is_dir():
    near = []
    if path.parent.is_dir():
      names = [p.name for p in path.parent.iterdir() if p.is_dir()]
      near = difflib.get_close_matches(path.name, names, 1)
    hint = f'; did you mean {path.parent / near[0]}?' if near else ''
    raise RunError(f'there is no folder {path}{hint}')
  if (path / 'variants').is_dir():
    inside = sorted(p.name for p in (path / 'variants').iterdir())
    raise RunError(
      f'{path} is a study of several runs: name one of them, such as '
      f'{path / "variants" / (inside or ["NAME"])[0]}'
    )
  try:
    stored = json.loads((path / 'config.json').read_text())
    stored['config']['experiment'], stored['config']['data']
  except DAMAGED as error:
    raise RunError(
      f'{path} is not the folder of a run of emojax: its config.json cannot be '
      f'read ({type(error).__name__}: {error})'
    ) from error
  return stored


def _weights_path(path: pathlib.Path, name: str) -> pathlib.Path:
  return path / 'checkpoints' / name


def _predictions_path(path: pathlib.Path, name: str) -> pathlib.Path:
  return path / 'predictions' / f'{name}.npz'


def _finished(path: pathlib.Path) -> tuple[str, ...]:
  """Generations whose predictions, which are written last, are there."""
  names = [
    file.stem
    for file in (path / 'predictions').glob('*.npz')
    if not file.stem.startswith('.') and _weights_path(path, file.stem).is_dir()
  ]

  def order(name):
    number = re.search(r'\d+$', name)
    return (int(number.group()) if number else -1, name)

  return tuple(sorted(names, key=order))


def _header(path: pathlib.Path, name: str) -> tuple[tasks.Schema, int]:
  """What a generation predicts, and its number of members."""
  file = _predictions_path(path, name)
  with _readable(file), open(file, 'rb') as raw:
    with np.load(raw, allow_pickle=False) as arrays:
      header = json.loads(str(arrays['header']))
    return schema_from_json(header['schema']), len(header['epochs'])


def _is_whole(path: pathlib.Path) -> bool:
  """Whether an .npz is as it was written, by the checksums in it."""
  try:
    with zipfile.ZipFile(path) as file:
      return file.testzip() is None
  except PermissionError:
    return True  # for all that is known
  except (*DAMAGED, NotImplementedError):
    return False


class _readable:
  """Turns errors of damaged files into a `RunError` that names the file.

  What is whole by its checksums is never called damaged: it was written by
  another program or version, or cannot be read just now.
  """

  def __init__(self, path: pathlib.Path):
    self.path = path

  def __enter__(self):
    return self

  def __exit__(self, kind, error, trace):
    if error is None or not isinstance(error, DAMAGED):
      return False
    if _is_whole(self.path):
      raise RunError(
        f'{self.path} is whole, but cannot be used as predictions of a run '
        f'({type(error).__name__}: {error}): evaluate it with the version that '
        'wrote it'
      ) from error
    raise RunError(
      f'{self.path} is damaged ({error}): move it away and give the command '
      'that trains the run again to make it anew'
    ) from error
