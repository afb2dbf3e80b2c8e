"""Runs that have been trained: their settings, label names and weights.

What evaluates or exports a run opens it here. A run may still be going on: its
finished generations are those whose weights and predictions are on disk.
"""

import dataclasses
import difflib
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from emojax import experiments, settings, tasks
from emojax.data import load
from emojax.engine import checkpoint, flip, optimisation, stack
from emojax.engine.trainer import Trainer
from emojax.evaluation import Predictions
from emojax.evaluation.context import FIT_SPLIT
from emojax.experiments.protocol import Stack, Trained, predictions_path
from emojax.runtime import damage, provenance
from emojax.runtime.damage import UNREADABLE as DAMAGED
from emojax.uncertainty.prior import Prior

PyTree = Any


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
    generations: Names of the finished generations (stacks), in order.
    schema: What they predict, as their predictions say; see `select`.
    members: Members of every generation.
    headers: Schema and members of every finished generation by name.
  """

  path: pathlib.Path
  config: ConfigDict
  environment: dict[str, Any]
  generations: tuple[str, ...]
  schema: tasks.Schema
  members: int
  headers: dict[str, tuple[tasks.Schema, int]]

  def predictions(self, name: str) -> Predictions:
    """Logits that the run itself has written for a generation."""
    with _readable(predictions_path(self.path, name)):
      return self.experiment().predictions(self.path, self.config, name)

  def stack(self, name: str) -> Stack:
    """What the experiment says of a generation."""
    found = self.experiment().stacks(self.config)
    return next(one for one in found if one.name == name)

  def select(self, names: Sequence[str]) -> 'TrainedRun':
    """The run with some finished generations, which predict the same tasks.

    Raises:
      RunError: If they do not.
    """
    kinds = {self.headers[name] for name in names}
    if len(kinds) > 1:
      alike = [
        ','.join(name for name in names if self.headers[name] == kind)
        for kind in dict.fromkeys(self.headers[name] for name in names)
      ]
      raise RunError(
        f'{", ".join(names)} of {self.path} differ in what they predict or in '
        f'their number of members: name those of one kind, {" or ".join(alike)}, '
        'with --generations'
      )
    schema, members = kinds.pop()
    return dataclasses.replace(
      self, generations=tuple(names), schema=schema, members=members
    )

  def weights(self, name: str, members: Sequence[int]) -> PyTree:
    """{'params': ..., 'model_state': ...} of some members, NumPy [M, ...].

    Raises:
      CheckpointError: If they are missing or damaged.
      RunError: If a number is not finite.
    """
    path = self.path / 'checkpoints' / self.stack(name).weights
    tree = dict(checkpoint.load_tree(path))
    # A network may have no statistics, or they are beside the parameters.
    params = tree.pop('params')
    tree = {'params': params, 'model_state': tree.get('model_state', tree)}
    index = np.array(members)
    tree = jax.tree.map(lambda array: array[index], tree)
    tree = self.experiment().weights(self.path, self.config, name, tree)
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
      found['dataset']
      found.get('generations')
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
    priors = self.experiment().PRIORS
    if priors is None:
      return {name: {} for name in self.generations}
    found = self.stored_priors()
    if found is not None:
      return found
    targets = (
      self._training_targets()
      if self.config.get('loss', {}).get('reweight')
      else {}
    )
    every = priors.of_generations(self.config, self.schema, targets)
    names = [one.name for one in self.experiment().stacks(self.config)]
    return {name: every[names.index(name)] for name in self.generations}

  def stored_priors(self) -> dict[str, Prior] | None:
    """What priors.json says; None without it; raises RunError as `priors`."""
    priors = self.experiment().PRIORS
    if priors is None:
      return None
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
        f'{self.path} was trained before its priors were kept, and its class '
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

  def trainer(
    self, name: str, members: int, config: ConfigDict | None = None
  ) -> Trainer:
    """A trainer that predicts with as many members, but has nothing to train.

    Args:
      name: The generation.
      members: Their number.
      config: The run's configuration with other settings under `runtime`.
    """
    config = ConfigDict((config or self.config).to_dict())
    if 'ensemble' in config:  # of the run: a Hydra has as many heads
      config.ensemble = self.config.ensemble
    if 'pretrained' in config.model:
      config.model.pretrained = ''  # the weights are in the run
    r = config.runtime
    mesh = stack.make_mesh(r.member_devices, r.get('batch_devices', 1), members)
    module = self.experiment()
    method = module.method_for(config, name, self.schema, mesh)
    if optimisation.setting(config.eval, 'flip', 'eval'):
      method = flip.with_flip(method, self.schema)
    settings = module.settings_for(config, name, members)
    return Trainer(method, settings, mesh, None, None, None)

  def validation(self):
    """Clips with the labels of the run's own validation set; see `held_out`."""
    return self.held_out()[FIT_SPLIT]

  def held_out(self) -> dict[str, Any]:
    """Clips with labels of the run's own data by set; 'val' is one of them.

    Raises:
      RunError: If the data are not there any more, or have changed.
    """
    try:
      found = self.experiment().held_out(self.config)
    except (OSError, ValueError) as error:
      raise RunError(
        f'the data that {self.path} was trained on cannot be read ({error})'
      ) from error
    written = self.predictions(self.generations[0]).logits
    for key, clips in found.items():
      shape, logits = clips.frame_mask.shape, written.get(key, {})
      if any(x.shape[1:3] != shape for x in logits.values()):
        raise RunError(
          f'the data that {self.path} was trained on have changed since: its '
          f'predictions are of other clips ({key})'
        )
      try:
        provenance.check_part(self.path, key, clips)
      except provenance.DataChangedError as error:
        raise RunError(str(error)) from error
    return found

  def bin_values(self) -> np.ndarray:
    """Values of the bins of valence and arousal, [K]."""
    kind = self.config.get('loss', {}).get('bin_values', 'ends')
    return tasks.bin_values(kind=kind)

  def experiment(self) -> Trained:
    """What the paper of the run offers."""
    return experiments.trained(self.config.experiment)


def open_run(path: str | os.PathLike) -> TrainedRun:
  """Opens the folder of a run with at least one finished generation.

  Raises:
    RunError: If it is missing, no run, of an experiment whose runs cannot be
      opened, or has no finished generation.
  """
  path = pathlib.Path(path)
  stored = _stored_config(path)
  config = ConfigDict(stored['config'])
  found = [one for one in _stacks(path, config) if _finished(path, one)]
  if not found:
    raise RunError(
      f'{path} has no finished generation yet: give the command that trains it '
      'again to go on, and wait for the first generation'
    )
  headers = {one.name: _header(path, config, one) for one in found}
  schema, members = headers[found[0].name]
  return TrainedRun(
    path=path,
    config=config,
    environment=stored.get('environment', {}),
    generations=tuple(headers),
    schema=schema,
    members=members,
    headers=headers,
  )


def _stacks(path: pathlib.Path, config) -> tuple[Stack, ...]:
  """The stacks that a configuration says there are."""
  name = config.experiment
  if name not in experiments.TRAINED:
    raise RunError(
      f'{path} is a run of the experiment {name!r}: evaluating it again and '
      'exporting its models are not supported, only for runs of '
      f'{", ".join(experiments.TRAINED)}; its own report and predictions are in '
      'the folder'
    )
  try:
    return experiments.trained(name).stacks(config)
  except (AttributeError, *DAMAGED) as error:
    raise RunError(
      f'{path / "config.json"} lacks what runs of {name!r} have '
      f'({type(error).__name__}: {str(error).splitlines()[0]}): restore the file'
    ) from error


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
    _ = stored['config']['experiment'], stored['config']['data']
    stored['config'] = settings.renamed(stored['config'])
  except DAMAGED as error:
    raise RunError(
      f'{path} is not the folder of a run of emojax: its config.json cannot be '
      f'read ({type(error).__name__}: {error})'
    ) from error
  return stored


def _finished(path: pathlib.Path, one: Stack) -> bool:
  """Whether predictions, which are written last, are there, and weights."""
  weights = path / 'checkpoints' / one.weights
  return weights.is_dir() and predictions_path(path, one.name).is_file()


def _header(path: pathlib.Path, config, one: Stack) -> tuple[tasks.Schema, int]:
  """What a generation predicts, and its number of members."""
  with _readable(predictions_path(path, one.name)):
    module = experiments.trained(config.experiment)
    return module.header(path, config, one.name)


def _readable(path: pathlib.Path):
  """Turns errors of damaged files into a `RunError` that names the file."""
  return damage.explained(
    path,
    command='give the command that trains the run again',
    wrong='evaluate it with the version that wrote it',
    kind=RunError,
  )
