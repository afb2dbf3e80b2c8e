"""Stacks of teachers, students and recurrent networks, one after the other.

A stack is finished when its predictions are on disk, which are written last; a
resumed run passes over it. What a stack hands to the next one (a teacher's
logits, a CNN's features) is read from files, so that resuming changes nothing.
"""

import dataclasses
import functools
import pathlib
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from emojax.engine import checkpoint, stack
from emojax.engine import plan as plans
from emojax.engine.member import Method
from emojax.engine.trainer import (
  Generation,
  Trainer,
  settings_from_config,
)
from emojax.evaluation import Predictions
from emojax.experiments import frame
from emojax.experiments.two_stage import features, method
from emojax.experiments.two_stage.roles import Roles, Subsets
from emojax.runtime import damage, training, workdir

PyTree = Any


@dataclasses.dataclass(frozen=True)
class Run(frame.Run):
  """What the stacks of a run share.

  Attributes:
    roles: The data.
  """

  roles: Roles

  def teacher_path(self, name: str) -> pathlib.Path:
    """Logits of a finished stack of teachers on its training clips."""
    return self.path('predictions', f'{name}_teacher.npz')


@dataclasses.dataclass(frozen=True, eq=False)
class Sources:
  """What a trainer trains on and what it is scored on.

  Attributes:
    train: Training clips, a `ClipSource` with targets and frame_mask.
    val: Validation clips.
    test: Test clips.
    places: Set ('val', 'test') to where its clips come from, if they are
      sequences (`features.Places`) of clips of another shape.
    shapes: Set to [N, L] of those clips.
  """

  train: Any
  val: Any
  test: Any
  places: Mapping[str, features.Places] = dataclasses.field(
    default_factory=dict
  )
  shapes: Mapping[str, tuple[int, int]] = dataclasses.field(
    default_factory=dict
  )


def make_trainer(
  run: Run,
  of: Method,
  sources: Sources,
  members: int,
  epochs: int,
  chunk: int | None = None,
) -> Trainer:
  """A trainer of stacks of some members.

  Args:
    run: The run.
    of: The method.
    sources: The data.
    members: M.
    epochs: Epochs, at most where members may stop early.
    chunk: Clips per call without gradients; None for the configuration's.
  """
  settings = settings_from_config(run.config, members, epochs, chunk or 0)
  mesh = stack.make_mesh(run.config.runtime.member_devices, 1, members)
  return Trainer(
    of, settings, mesh, sources.train, sources.val, sources.val.targets
  )


def generation(
  name: str,
  sources: Sources,
  subsets: Subsets,
  stage,
  members: int,
  teacher: PyTree | None = None,
) -> Generation:
  """What a stack learns from.

  Args:
    name: Name of the stack; its seed follows from it, whatever else is run.
    sources: The data.
    subsets: What batches draw from.
    stage: `config.train` or `config.recurrent`.
    members: M.
    teacher: Task name -> logits [S, N, L, num_outputs] of S teachers; member m
      of M has teacher `m // (M / S)`. None for teachers.
  """
  per_group = stage.clips_per_task
  whole = [np.arange(subsets.smallest)]
  steps = stage.steps or plans.steps_per_epoch(whole, per_group)
  rates = np.full(members, stage.learning_rate, np.float32)
  hparams: dict[str, np.ndarray] = {'learning_rate': rates}
  if teacher is not None:
    seeds = len(next(iter(teacher.values())))
    number = np.arange(members) // (members // seeds)
    hparams['teacher'] = number.astype(np.int32)
    teacher = {key: np.moveaxis(v, 0, 2) for key, v in teacher.items()}
  train = sources.train
  return Generation(
    number=zlib.crc32(name.encode()) >> 1,
    groups=subsets.groups,
    clips_per_group=per_group,
    steps=steps,
    targets=method.batch_targets(train.targets, train.frame_mask, teacher),
    hparams=hparams,
    soft_labels=False,
  )


def train_stack(
  run: Run,
  name: str,
  trainer: Trainer,
  of: Generation,
  sources: Sources,
  teaches: bool = False,
) -> Predictions:
  """Trains and predicts a stack unless that is done.

  Args:
    run: The run.
    name: Name of the stack.
    trainer: Its trainer.
    of: What it learns from.
    sources: The data.
    teaches: Whether students will learn from its logits.
  """
  wanted, epochs = [run.predictions_path(name)], trainer.settings.epochs
  with training.stack(run.session, name, wanted, epochs) as missing:
    if missing:
      best = training.train(run.session, trainer, name, of).state.best
      _finish(run, name, trainer, best, sources, teaches)
  return run.load(name)


def _finish(run: Run, name: str, trainer: Trainer, best, sources, teaches):
  """Writes weights, a teacher's logits and predictions of a trained stack."""
  run.session.progress.describe(f'{name}: predicting')
  weights = {'params': best.params, 'model_state': best.model_state}
  checkpoint.save_tree(run.weights_path(name), trainer.fetch(weights))
  predict = functools.partial(trainer.predict, best.params, best.model_state)
  if teaches:
    workdir.write_arrays(run.teacher_path(name), predict(sources.train))
  logits = {}
  for key, clips in (('val', sources.val), ('test', sources.test)):
    logits[key] = predict(clips)
    if key in sources.places:
      stitch = sources.places[key].stitch
      shape = sources.shapes[key]
      logits[key] = {n: stitch(x, shape) for n, x in logits[key].items()}
  epochs = [int(epoch) for epoch in trainer.fetch(best.epoch)]
  schema = tuple(t for t in run.roles.schema if t.name in logits['val'])
  Predictions(name, schema, logits, epochs).save(run.predictions_path(name))


def teacher_logits(run: Run, name: str) -> dict[str, np.ndarray]:
  """Logits [S, N, L, num_outputs] of a finished stack of teachers, by task."""
  path = run.teacher_path(name)
  with damage.explained(path, marker=run.predictions_path(name)):
    with open(path, 'rb') as raw, np.load(raw) as file:
      return dict(file)
