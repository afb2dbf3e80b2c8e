"""Finished runs as methods of the audit: what each says of the test frames.

A method is a generation of networks, single or as an ensemble, with or without a
map that was fitted to the validation frames.
"""

import dataclasses
import json
import pathlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from emojax import tasks, uncertainty
from emojax.data.clips import evaluation_sets
from emojax.evaluation import coverage_labels
from emojax.evaluation.frames import labelled, pick
from emojax.runtime import provenance
from emojax.trained import run as runs
from emojax.uncertainty import (
  dirichlet_calibration,
  isotonic,
  prior,
  temperature,
  vector_scaling,
)

SPLITS = ('val', 'test')


@dataclasses.dataclass(frozen=True)
class Frames:
  """Labelled frames of one task with known posteriors.

  Attributes:
    index: Positions in the flattened frames, [F].
    target: Labels, [F, ...].
    truth: Posteriors, [F, ...].
    groups: Number of the subject of every frame, [F].
  """

  index: np.ndarray
  target: tasks.Target
  truth: np.ndarray
  groups: np.ndarray


@dataclasses.dataclass(frozen=True)
class Stack:
  """Networks of one generation of one run.

  Attributes:
    name: The generation, and the run's kind but for the first one.
    schema: Its tasks.
    logits: Split -> task -> [M, N, L, outputs].
    passes: Task -> [M, S, N, L, outputs] of the test clips; {} without.
    shift: Log weights of its training.
  """

  name: str
  schema: tasks.Schema
  logits: Mapping[str, Mapping[str, np.ndarray]]
  passes: Mapping[str, np.ndarray]
  shift: prior.Prior


@dataclasses.dataclass(frozen=True)
class Seed:
  """All networks of one seed and the data that they share.

  Attributes:
    stacks: Of all runs; networks that two runs share are there once.
    frames: Split -> task -> frames.
    bin_values: [K].
  """

  stacks: Sequence[Stack]
  frames: Mapping[str, Mapping[str, Frames]]
  bin_values: np.ndarray


def by_seed(
  folders: Sequence[pathlib.Path],
) -> dict[int, dict[str, runs.TrainedRun]]:
  """Seed -> kind -> finished run; folders are named KIND-SEED, or KIND.

  Raises:
    ValueError: If a folder is no finished run on embedded data, or kinds have
      other seeds.
  """
  kinds: dict[str, dict[int, runs.TrainedRun]] = {}
  for folder in folders:
    run = runs.open_run(folder)
    kind, _, seed = folder.name.rpartition('-')
    if not kind or not seed.isdecimal():
      kind, seed = folder.name, run.config.seed
    if run.config.data.name != 'embedded':
      raise ValueError(f'{folder}: only embedded data know their posteriors')
    kinds.setdefault(kind, {})[int(seed)] = run
  seeds = {kind: sorted(found) for kind, found in kinds.items()}
  first, *others = seeds.items()
  for kind, found in others:
    if found != first[1]:
      raise ValueError(f'{first[0]} has seeds {first[1]}, {kind} {found}')
  return {seed: {k: kinds[k][seed] for k in kinds} for seed in first[1]}


def read(found: Mapping[str, runs.TrainedRun]) -> Seed:
  """Networks and data of one seed.

  Args:
    found: Kind -> run.

  Raises:
    ValueError: If runs are of other data, lack predictions of a split, or their
      data have changed.
  """
  one, *others = found.values()
  for other in others:
    if _data(other) != _data(one):
      raise ValueError(f'{other.path} and {one.path} are of other data')
  stacks: list[Stack] = []
  for number, (kind, run) in enumerate(found.items()):
    for stack in _stacks(run, f' ({kind})' if number else ''):
      if not any(_same(stack, known) for known in stacks):
        stacks.append(stack)
  return Seed(stacks, _frames(one), one.bin_values())


def _data(run: runs.TrainedRun) -> str:
  return json.dumps(run.config.data.to_dict(), sort_keys=True)


def _stacks(run: runs.TrainedRun, suffix: str) -> Iterator[Stack]:
  shifts = run.priors()
  for name in run.generations:
    said = run.predictions(name)
    for split in SPLITS:
      if split not in said.logits:
        raise ValueError(f'{run.path}: {name} has no predictions of {split}')
    yield Stack(
      f'{name}{suffix}',
      said.schema,
      {split: said.logits[split] for split in SPLITS},
      said.mc.get('test', {}),
      shifts[name],
    )


def _same(one: Stack, other: Stack) -> bool:
  return one.schema == other.schema and all(
    np.array_equal(x, other.logits['test'][task])
    for task, x in one.logits['test'].items()
  )


def _frames(run: runs.TrainedRun) -> dict[str, dict[str, Frames]]:
  found: dict[str, dict[str, Frames]] = {}
  for split in SPLITS:
    clips = evaluation_sets.open_split(run.config.data, split).clips
    provenance.check_part(run.path, split, clips)
    _, groups = np.unique(coverage_labels.subjects(clips), return_inverse=True)
    found[split] = {}
    for task in run.schema:
      every = labelled(task, clips)
      if every is None or every.truth is None:
        raise ValueError(
          f'{run.path}: {split} has no posteriors of {task.name}'
        )
      found[split][task.name] = Frames(*every, groups[every.index])
  return found


def maps(task: tasks.Task, stack: Stack, seed: Seed):
  """Yields what is made of a generation's networks for one task.

  Yields:
    (name, probabilities of the validation frames [M, F, ...] or None, of the test
    frames, whether M = 1 stands for an ensemble).
  """
  fit, test = (seed.frames[split][task.name] for split in SPLITS)
  raw = [
    np.float64(pick(stack.logits[split][task.name], frames.index))
    for split, frames in zip(SPLITS, (fit, test))
  ]
  values = seed.bin_values if task.kind == 'binned' else None

  def scaled(logits, fitter):
    """Each member with temperatures of its own."""
    found = [fitter(one) for one in logits[0]]
    return [
      np.stack(
        [
          uncertainty.probabilities(task, temperature.apply(task, z, t))
          for z, t in zip(x, found, strict=True)
        ]
      )
      for x in logits
    ]

  def each(logits):
    return temperature.fit(task, logits, fit.target, values)

  plain = [uncertainty.probabilities(task, x) for x in raw]
  yield 'none', *plain, False
  if task.kind != 'categorical':
    one = one_temperature(task, fit.target, values)
    yield 'TS, one for all labels', *scaled(raw, one), False
  yield 'TS', *scaled(raw, each), False
  if len(raw[0]) > 1:
    mean = [as_logits(task, p.mean(0))[None] for p in plain]
    yield 'TS of the mean', *scaled(mean, each), True
  if task.kind != 'binned':  # whose outermost bins have no example
    yield from _learned(task, fit, raw)
  if task.name in stack.shift and prior.changes(stack.shift):
    right = [prior.apply(task, x, stack.shift) for x in raw]
    yield 'PC', *(uncertainty.probabilities(task, x) for x in right), False
    yield 'PC + TS', *scaled(right, each), False
  if task.name in stack.passes:
    drawn = pick(stack.passes[task.name], test.index)
    probs = np.stack(
      [
        sum(uncertainty.probabilities(task, np.float64(x)) for x in one)
        / len(one)
        for one in drawn
      ]
    )
    yield 'MC', None, probs, False


def one_temperature(task: tasks.Task, target: tasks.Target, values):
  """Fits one temperature to all labels of a binary or binned task at once."""

  def fit(logits):
    split = tasks.split_logits(task, logits)
    if task.kind == 'binary':
      found = temperature.fit_binary(split.ravel(), target.value.ravel())
    else:
      index = np.abs(target.value[..., None] - values).argmin(-1).ravel()
      flat = split.reshape(-1, task.bins)
      found = temperature.fit_categorical(flat, np.eye(task.bins)[index])
    return np.full(len(task.labels), found)

  return fit


def as_logits(task: tasks.Task, probs: np.ndarray) -> np.ndarray:
  """Logits [..., num_outputs] of probabilities."""
  small = np.finfo(np.float64).tiny
  logs = np.log(np.maximum(probs, small))
  if task.kind == 'binary':
    return logs - np.log(np.maximum(1 - probs, small))
  return logs.reshape(*logs.shape[: -2 if task.kind == 'binned' else -1], -1)


def _learned(task, fit: Frames, raw):
  """Maps with more freedom than temperatures, one for each member."""

  def mapped(make, apply):
    found = [make(one) for one in raw[0]]
    return [
      np.stack([apply(task, z, f) for z, f in zip(x, found, strict=True)])
      for x in raw
    ]

  def vector(task, logits, fitted):
    made = vector_scaling.apply(task, logits, fitted)
    return uncertainty.probabilities(task, made)

  def dirichlet(logits):
    strength = dirichlet_calibration.choose(
      task, logits, fit.target, fit.groups
    )
    arguments = task, logits, fit.target, strength, strength
    return dirichlet_calibration.fit(*arguments)

  def vectors(logits):
    return vector_scaling.fit(task, logits, fit.target)

  def steps(logits):
    return isotonic.fit(task, logits, fit.target)

  yield 'vector', *mapped(vectors, vector), False
  yield 'Dirichlet', *mapped(dirichlet, dirichlet_calibration.apply), False
  yield 'isotonic', *mapped(steps, isotonic.apply), False
