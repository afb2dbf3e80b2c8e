"""A run of iterative self-distillation (paper 000), top to bottom.

Teachers learn from hard labels, one task per clip. Each generation of students
starts from fresh weights and learns all tasks on every labelled frame from the
mean probabilities of the ensemble before it (section 3.4).
"""

import dataclasses
import pathlib
from typing import Any

import jax
import numpy as np
from rich.console import Console

from emojax import losses, models, settings, tasks
from emojax.data import load
from emojax.data.clips.clips import Dataset
from emojax.data.transform.augment import augmentation
from emojax.engine import checkpoint, flip, methods, optimisation, stack
from emojax.engine import plan as plans
from emojax.engine.trainer import Generation, Trainer, settings_from_config
from emojax.evaluation import Predictions, choose_split, evaluate
from emojax.experiments import frame
from emojax.experiments.distillation import (
  one_network,
  priors,
  report,
  teachers,
)
from emojax.experiments.distillation.published import TEACHERS
from emojax.experiments.protocol import predictions_path
from emojax.models import convert
from emojax.report import validity
from emojax.runtime import damage, training, workdir
from emojax.uncertainty.prior import Prior, changes

PyTree = Any
MC_STREAM = 1_000_000  # keys of the dropout passes, apart from training's


def generation_name(number: int) -> str:
  """'Tea', 'Stu1', 'Stu2', ... as in the paper's tables."""
  return f'Stu{number}' if number else TEACHERS


def members_from_config(config, number: int) -> int:
  """Members of a generation: teachers, or students."""
  if number:
    return one_network.students_from_config(config)
  return config.ensemble.size


def method_from_config(config, dataset: Dataset, mesh):
  """Builds the model and the training method."""
  axis_name = stack.BATCH if mesh.shape[stack.BATCH] > 1 else None
  model = models.from_config(config, dataset.schema, axis_name)
  return _method_from_config(config, dataset, model, axis_name)


def students_from_config(config, dataset: Dataset, mesh):
  """The method of students: that of teachers, or of one network as all teachers."""
  kind = one_network.from_config(config)
  if kind == one_network.MEAN:
    return method_from_config(config, dataset, mesh)
  axis_name = stack.BATCH if mesh.shape[stack.BATCH] > 1 else None
  model = one_network.model_from_config(config, dataset.schema, axis_name)
  bins = tasks.bin_values(kind=config.loss.bin_values)
  loss_of = one_network.loss_of(kind, dataset.schema, bins)
  made = _method_from_config(config, dataset, model, axis_name, loss_of)
  return one_network.with_members(made, model)


def _method_from_config(config, dataset, model, axis_name, loss_of=None):
  pretrained = convert.loader(config.model.pretrained, convert.trunk_from_torch)
  if pretrained and loss_of:
    pretrained = one_network.within_trunk(pretrained)
  return methods.multitask(
    model,
    dataset.schema,
    augment=augmentation(config.train.augment, config.train.augment_per),
    bin_values=tasks.bin_values(kind=config.loss.bin_values),
    loss_of=loss_of,
    balance=config.train.balance,
    pretrained=pretrained,
    axis_name=axis_name,
    weight_decay=optimisation.setting(config.train, 'weight_decay'),
    mixup=optimisation.setting(config.train, 'mixup'),
    **optimisation.from_config(config.train),
  )


def generations_from_config(config, dataset: Dataset):
  """Returns `(number, soft labels or None) -> Generation`."""
  groups = methods.task_groups(dataset.schema, dataset.train.targets)
  union = np.unique(np.concatenate(groups)).astype(np.int32)
  everywhere = None
  if config.data.get('unlabelled_train', False):
    union = np.arange(len(dataset.train), dtype=np.int32)
    everywhere = dataset.train.frame_mask
  per_task = config.train.clips_per_task
  names = [task.name for task in dataset.schema]
  steps = plans.steps_per_epoch(groups, per_task, names)
  steps = min(steps, config.train.max_steps or steps)
  smoothing = optimisation.setting(config.loss, 'label_smoothing', 'loss')

  def generation(number: int, soft: PyTree) -> Generation:
    last = number == config.generations  # nobody learns from these
    hparams = _hparams(config, dataset, number)
    if number == 0:
      # Students learn from what teachers say: their labels are soft already.
      hard = losses.smooth_targets(
        dataset.schema, dataset.train.targets, smoothing
      )
      return Generation(0, groups, per_task, steps, hard, hparams, not last)
    # A student's batch is as large as a teacher's, drawn from the union.
    make = methods.distillation_targets
    if one_network.from_config(config) != one_network.MEAN:
      make = one_network.targets
    targets = make(dataset.schema, soft, dataset.train.targets, everywhere)
    batch = per_task * len(groups)
    return Generation(number, [union], batch, steps, targets, hparams, not last)

  return generation


def _hparams(config, dataset: Dataset, number: int):
  """Learning rate and class weights of a generation's members, [M, ...]."""
  members = members_from_config(config, number)
  found = priors.weights_from_config(config, dataset.train.targets, number)
  values = {
    'learning_rate': config.train.learning_rate,
    'pos_weight': found.get('au', 1),
    'class_weight': found.get('expr', 1),
  }
  return {
    key: np.broadcast_to(np.float32(value), (members, *np.shape(value))).astype(
      'float32'
    )
    for key, value in values.items()
  }


@dataclasses.dataclass(frozen=True)
class Run(frame.Run):
  """What the generations of a run share.

  Attributes:
    dataset: The data set.
    trainer: Trains, validates and makes soft labels.
    predictor: Makes the predictions: the trainer, or over both views of a face
      (`config.eval.flip`).
    priors: Log weights in the predictions of each generation, by name.
  """

  dataset: Dataset
  trainer: Trainer
  predictor: Trainer
  priors: dict[str, Prior]

  def labels_path(self, name: str) -> pathlib.Path:
    """Soft labels that a finished generation hands to the next."""
    return self.path('predictions', f'{name}_soft_labels.npz')


def trainers_from_config(config, dataset: Dataset, mesh, method, members):
  """Trainer and predictor of a generation; see `Run`."""
  chosen = settings_from_config(config, members, config.train.epochs)
  clips = dataset.train, dataset.val, dataset.val.targets
  trainer = predictor = Trainer(method, chosen, mesh, *clips)
  if optimisation.setting(config.eval, 'flip', 'eval'):
    flipped = flip.with_flip(method, dataset.schema)
    predictor = Trainer(flipped, chosen, mesh, *clips)
  return trainer, predictor


def run(config, folder: workdir.Workdir, console: Console) -> dict[str, Any]:
  """Trains, evaluates and reports all generations; resumes where it stopped.

  See `protocol.Experiment.run`.
  """
  settings.check(settings.flatten(config.to_dict()))
  mesh = _mesh(config, config.ensemble.size)
  # What no network can be is said before the data set is made.
  validity.floor_from_config(config)
  models.from_config(config, tasks.ABAW2021)
  if config.generations and one_network.from_config(config) != one_network.MEAN:
    one_network.model_from_config(config, tasks.ABAW2021)
  taken = None
  if not predictions_path(folder.path, TEACHERS).exists():
    taken = teachers.from_config(config)
  if taken:
    teachers.check_settings(taken, config.to_dict())
  with console.status('making the data set'):
    dataset = load.from_config(config.data)
  data = frame.data_of(dataset)
  frame.keep(folder, data, console)
  if taken:
    teachers.check_data(taken, dataset)
  method = method_from_config(config, dataset, mesh)
  size = config.ensemble.size
  trainers = trainers_from_config(config, dataset, mesh, method, size)
  students = _students(config, dataset, trainers)
  names = [generation_name(k) for k in range(config.generations + 1)]
  weighted = priors.of_generations(
    config, dataset.schema, dataset.train.targets
  )
  weighted = dict(zip(names, weighted, strict=True))
  priors.write(folder.path, dataset.schema, weighted)
  total = len(names) * config.train.epochs
  with training.session(folder, console, total) as session:
    make_generation = generations_from_config(config, dataset)
    soft = None
    for number, name in enumerate(names):
      pair = students if number else trainers
      this = Run(config, data, session, dataset, *pair, weighted)
      soft = _run_generation(this, name, make_generation(number, soft))
  return _conclude(this, names, console)


def _mesh(config, members: int):
  """Devices of a generation."""
  r = config.runtime
  return stack.make_mesh(r.member_devices, r.batch_devices, members)


def _students(config, dataset: Dataset, trainers):
  """Trainer and predictor of students: those of teachers if nothing differs."""
  count = one_network.students_from_config(config)
  plain = one_network.from_config(config) == one_network.MEAN
  if not config.generations or (plain and count == config.ensemble.size):
    return trainers
  mesh = _mesh(config, count)
  method = students_from_config(config, dataset, mesh)
  return trainers_from_config(config, dataset, mesh, method, count)


def _run_generation(
  run: Run, name: str, generation: Generation
) -> PyTree | None:
  """Trains and predicts one generation unless that is done; its soft labels."""
  marker, epochs = run.predictions_path(name), run.config.train.epochs
  with training.stack(run.session, name, [marker], epochs) as missing:
    if missing:
      best, soft = _trained(run, name, generation)
      _finish_generation(run, name, generation, best, soft)
  if not generation.soft_labels:
    return None
  path = run.labels_path(name)
  with damage.explained(path, marker=marker):
    with open(path, 'rb') as raw, np.load(raw) as labels:
      return dict(labels)


def _trained(run: Run, name: str, generation: Generation):
  """The best weights of a generation, and its soft labels if they are there."""
  taken = teachers.from_config(run.config)
  if generation.number or taken is None:
    segment = training.train(run.session, run.trainer, name, generation)
    return segment.state.best, segment.soft_labels
  run.session.timings.start(name)  # to take them, not to train them
  run.session.progress.skip(run.config.train.epochs)
  folder, schema = run.session.folder, run.dataset.schema
  size = run.config.ensemble.size
  return teachers.take(taken, folder, schema, run.trainer, size), None


def _finish_generation(run: Run, name: str, generation: Generation, best, soft):
  """Writes weights, soft labels and predictions of a trained generation."""
  trainer, number = run.trainer, generation.number
  weights = {'params': best.params, 'model_state': best.model_state}
  checkpoint.save_tree(run.weights_path(name), trainer.fetch(weights))
  if generation.soft_labels:
    found = _member_labels(run, name, best)
    found = found or _corrected_labels(run, name, best) or soft
    found = found or trainer.ensemble_labels(
      best.params, best.model_state, trainer.train
    )
    workdir.write_arrays(run.labels_path(name), found)
  run.session.progress.describe(f'{name}: predicting')
  dataset = run.dataset
  sets = {'val': dataset.val, 'test': dataset.test}
  if dataset.test is dataset.val:
    del sets['test']
  sets |= {f'ood/{key}': clips for key, clips in dataset.ood.items()}
  logits, mc = _predict(run, number, best, sets)
  epochs = [int(e) for e in trainer.fetch(best.epoch)]
  Predictions(name, dataset.schema, logits, epochs, mc).save(
    run.predictions_path(name)
  )


def _member_labels(run: Run, name: str, best) -> PyTree | None:
  """What every member says, if students learn that instead of the mean."""
  kind = one_network.from_config(run.config)
  if kind == one_network.MEAN or name != TEACHERS:
    return None
  prior = run.priors[name] if priors.corrects_teachers(run.config) else {}
  bins = tasks.bin_values(kind=run.config.loss.bin_values)
  found = run.trainer.member_labels(
    best.params,
    best.model_state,
    run.trainer.train,
    one_network.member_labels(kind, run.dataset.schema, prior, bins),
  )
  return one_network.as_stored(found)


def _corrected_labels(run: Run, name: str, best) -> PyTree | None:
  """Soft labels of corrected members, if teachers are corrected and weighted."""
  prior, schema = run.priors[name], run.dataset.schema
  if not (priors.corrects_teachers(run.config) and changes(prior)):
    return None
  bins = tasks.bin_values(kind=run.config.loss.bin_values)
  return run.trainer.ensemble_labels(
    best.params,
    best.model_state,
    run.trainer.train,
    priors.soft_labels(schema, prior, bins),
  )


def _predict(run: Run, number: int, best, sets):
  """Logits of all sets, and those of the dropout passes of scored ones."""
  weights = best.params, best.model_state
  samples = run.config.eval.mc_samples
  if number and one_network.from_config(run.config) != one_network.MEAN:
    samples = one_network.passes_from_config(run.config)
  key = jax.random.fold_in(jax.random.key(run.config.seed), MC_STREAM + number)
  scored = choose_split(run.dataset.schema, run.dataset)
  logits, mc = {}, {}
  for name, clips in sets.items():
    keep = name == scored or name.startswith('ood/')
    logits[name], passes = run.predictor.predict_and_sample(
      *weights, clips, key, samples, keep
    )
    if samples and keep:
      mc[name] = passes
  return logits, mc


def _conclude(run: Run, names: list[str], console: Console) -> dict[str, Any]:
  """Evaluates, writes results.json and the report, prints the tables."""
  with console.status('evaluating'):
    schema = run.dataset.schema
    results, curves = evaluate(
      schema,
      (run.load(name, schema) for name in names),
      run.dataset,
      seed=run.config.seed,
      bin_values=tasks.bin_values(kind=run.config.loss.bin_values),
      priors=run.priors,
    )
    results |= run.outcome()
    kind = one_network.from_config(run.config)
    if len(names) > 1 and kind != one_network.MEAN:
      results['distill'] = kind  # what students have learned
    run.write(results, curves)
    report.write(run.path(), getattr(run.dataset, results['split']))
  report.terminal(results, console)
  return results
