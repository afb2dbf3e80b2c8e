"""A run of paper 003, top to bottom: every method trained, evaluated, reported."""

import dataclasses
from typing import Any

import jax
import numpy as np
from rich.console import Console

from emojax import tasks
from emojax.data import load
from emojax.data.clips.clips import Dataset
from emojax.engine import checkpoint, member, stack
from emojax.engine import plan as plans
from emojax.engine.trainer import Generation, Trainer, settings_from_config
from emojax.experiments import frame
from emojax.experiments.relative_uncertainty import (
  evaluate as evaluation,
)
from emojax.experiments.relative_uncertainty import (
  members,
  outputs,
  relabel,
  report,
  setup,
)
from emojax.report import validity
from emojax.runtime import training, workdir


@dataclasses.dataclass(frozen=True)
class Run(frame.Run):
  """What the methods of a run share.

  Attributes:
    dataset: The data set.
    task: Its categorical task.
    members: The members of every stack.
    mesh: Devices.
  """

  dataset: Dataset
  task: tasks.Task
  members: members.Members
  mesh: Any


def run(config, folder: workdir.Workdir, console: Console) -> dict[str, Any]:
  """Trains and evaluates all methods; resumes where it stopped.

  See `protocol.Experiment.run`.
  """
  setup.check_methods(config)
  validity.floor_from_config(config)
  mesh = stack.make_mesh(
    config.runtime.member_devices,
    config.runtime.batch_devices,
    config.ensemble.size,
  )
  with console.status('making the data set'):
    dataset = load.from_config(config.data)
  task = setup.categorical_task(dataset)
  data = frame.data_of(dataset, learned=(task,))
  frame.keep(folder, data, console)
  drawn = members.from_config(config, dataset, task)
  total = len(config.methods) * config.train.epochs
  with training.session(folder, console, total) as session:
    this = Run(config, data, session, dataset, task, drawn, mesh)
    for name in config.methods:
      _run_method(this, name)
  return _conclude(this, console)


def _saved(drawn: members.Members) -> dict[str, np.ndarray]:
  return {
    'clean': drawn.clean,
    'labels': drawn.labels,
    'levels': np.array(drawn.levels),
  }


def _run_method(run: Run, name: str):
  """Trains one method's stack and writes its outputs, unless that is done."""
  wanted, epochs = [run.predictions_path(name)], run.config.train.epochs
  with training.stack(run.session, name, wanted, epochs) as missing:
    if missing:
      generation = generation_of(run)
      trainer = trainer_of(run, name, generation.steps)
      segment = training.train(run.session, trainer, name, generation)
      _finish(run, name, trainer, segment.state)


def generation_of(run: Run) -> Generation:
  """What the engine trains a stack on: image numbers, and labels by member."""
  config, size = run.config, len(run.dataset.train)
  images = outputs.training_images(run)
  batch = config.train.batch_size
  if len(images) < batch:
    raise ValueError(
      f'{run.dataset.name}: {len(images)} labelled images to train on, less '
      f'than a batch: lower config.train.batch_size={batch}'
    )
  steps = plans.steps_per_epoch([images], batch)
  steps = min(steps, config.train.max_steps or steps)
  count = config.ensemble.size
  hparams = {
    'learning_rate': np.full(count, config.train.learning_rate, np.float32),
    'labels': run.members.labels,
    'relabel': run.members.noisy,
  }
  if accuracy := setup.start_accuracy(config):
    wrong = run.members.flipped[:, images].mean(1)
    classes = len(run.task.labels)
    found = relabel.agreement(accuracy, wrong, classes)
    hparams['relabel_from'] = np.float32(found)
  return Generation(
    number=0,
    groups=[images],
    clips_per_group=batch,
    steps=steps,
    targets={'index': np.arange(size, dtype=np.int32)},
    hparams=hparams,
    soft_labels=False,
  )


def trainer_of(run: Run, name: str, steps: int) -> Trainer:
  """The engine's trainer for a method."""
  config = run.config
  return Trainer(
    setup.method_from_config(run, name, steps),
    settings_from_config(config, config.ensemble.size, config.train.epochs),
    run.mesh,
    run.dataset.train,
    run.dataset.val,
    run.dataset.val.targets,
  )


def _finish(run: Run, name: str, trainer: Trainer, state):
  """Writes weights and outputs of a trained stack."""
  best, config = state.best, run.config
  chosen, epochs = best, trainer.fetch(best.epoch)
  if config.eval.weights == 'last':
    params, model_state = member.weights(state)
    chosen = state._replace(params=params, model_state=model_state)
    epochs = np.full_like(epochs, config.train.epochs - 1)
  weights = {
    'params': trainer.fetch(chosen.params),
    'batch_stats': trainer.fetch(chosen.model_state)['batch_stats'],
  }
  checkpoint.save_tree(run.weights_path(name), weights)
  run.session.progress.describe(f'{name}: predicting')
  found = outputs.predict(run, trainer, chosen)
  final = trainer.fetch(state.model_state)['labels']
  rows = [
    relabel.current(jax.tree.map(lambda x, m=m: x[m], final), given)
    for m, given in enumerate(run.members.labels)
  ]
  found['labels'] = np.stack([np.asarray(row) for row in rows])
  found['best_epoch'] = trainer.fetch(best.epoch)
  found['epoch'] = epochs  # of the weights that are kept
  found['best_score'] = trainer.fetch(best.score)
  labels = run.path('predictions', 'labels.npz')
  workdir.write_arrays(labels, _saved(run.members))
  workdir.write_arrays(run.predictions_path(name), found)


def _conclude(run: Run, console: Console) -> dict[str, Any]:
  """Evaluates, writes results.json and the report, prints the tables."""
  with console.status('evaluating'):
    results, curves = evaluation.evaluate(run)
    results |= run.outcome()
    run.write(results, curves)
    report.write(run, results, curves)
  report.terminal(results, console)
  return results
