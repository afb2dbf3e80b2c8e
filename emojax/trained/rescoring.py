"""The computing part of `python -m emojax.evaluate`."""

import pathlib
import types
from typing import Any

import jax
import numpy as np
from rich.console import Console

from emojax import tasks
from emojax.data.relabel import Relabelling, relabel, selected_outputs
from emojax.engine.trainer import Trainer
from emojax.evaluation import Predictions, evaluate, scores
from emojax.evaluation.context import FIT_SPLIT
from emojax.host import terminal
from emojax.report import validity
from emojax.runtime import provenance, workdir
from emojax.trained.reevaluation import Evaluation
from emojax.trained.run import DAMAGED, RunError, UnknownPriorError
from emojax.uncertainty import prior


def execute(evaluation: Evaluation, console: Console) -> pathlib.Path:
  """Predicts, scores and reports; goes on where it was stopped.

  Args:
    evaluation: From `reevaluation.prepare`.
    console: Where tables go.

  Returns:
    The folder with results.json and the report.

  Raises:
    WorkdirError: If the folder holds another evaluation, or something else.
  """
  evaluation.run.stored_priors()  # what is damaged, before a folder is made
  folder = _open_folder(evaluation)
  parts = {evaluation.key: evaluation.split.clips}
  parts |= {f'ood/{name}': clips for name, clips in evaluation.ood.items()}
  schema = evaluation.split.spec.schema
  provenance.keep(folder, parts, schema, console, '--out or --name')
  if folder.finished:
    terminal.say(console, f'{folder.path} is finished already')
    return folder.path
  val, notes = None, list(evaluation.notes)
  if evaluation.key != FIT_SPLIT and evaluation.request.temperature:
    try:
      val = evaluation.run.validation()
    except RunError as error:
      notes.append(f'no temperatures fitted on validation data: {error}')
  priors, missing = _priors(evaluation)
  notes += missing
  predictor = _Predictor(evaluation, folder.path, console, val)
  predictions = (
    _scored(evaluation, predictor(name), val) for name in evaluation.generations
  )
  config = evaluation.config
  results, curves = evaluate(
    evaluation.schema,
    predictions,
    _dataset(evaluation, val),
    seed=config.seed,
    bin_values=evaluation.run.bin_values(),
    split=evaluation.key,
    temperature=evaluation.request.temperature,
    priors=priors,
  )
  if learned := _learned(evaluation, folder.path):
    results['learned'] = learned
  results['split_name'] = evaluation.split.name
  floor = validity.floor_from_config(config)
  results['validity'] = validity.of_run(evaluation.run.path, floor)
  results['evaluation'] = _provenance(evaluation, notes)
  workdir.write_json(folder / 'curves.json', curves)
  workdir.write_json(folder / 'results.json', results)
  whole = evaluation.schema == evaluation.run.schema
  report = evaluation.run.experiment().REPORT
  report.write(folder.path, evaluation.clips if whole else None)
  for note in notes:
    terminal.say(console, f'Note: {note}.')
  report.terminal(results, console)
  return folder.path


def _learned(evaluation: Evaluation, folder: pathlib.Path) -> dict[str, Any]:
  """Generation -> 'mean' and 'std' of scores of learned uncertainty."""
  module, found = evaluation.run.experiment(), {}
  if module.LEARNED is None:
    return found
  (task,) = evaluation.schema
  target = evaluation.clips.targets[task.name]
  for name in evaluation.generations:
    logits = Predictions.load(_predictions(folder, name)).logits
    with np.load(_doubt(folder, name)) as file:
      doubt = file[evaluation.key]
    rows = module.learned(
      task, target, logits[evaluation.key][task.name], doubt
    )
    rows = [{k: scores.finite(v) for k, v in row.items()} for row in rows]
    found[name] = dict(zip(('mean', 'std'), scores.over_members(rows)))
  return found


def _predictions(folder: pathlib.Path, name: str) -> pathlib.Path:
  return folder / 'predictions' / f'{name}.npz'


def _doubt(folder: pathlib.Path, name: str) -> pathlib.Path:
  """Learned uncertainty by set; written before the predictions."""
  return folder / 'predictions' / f'{name}-learned.npz'


def _priors(evaluation: Evaluation):
  """(generation -> log weights of the scored labels, notes on what lacks)."""
  try:
    found = evaluation.run.priors()
  except UnknownPriorError as error:
    return {}, [f'no prior correction (PC): {error}']
  schemas = evaluation.run.schema, evaluation.schema
  return {
    name: prior.selected(*schemas, one) for name, one in found.items()
  }, []


def _open_folder(evaluation: Evaluation) -> workdir.Workdir:
  folder = workdir.Workdir(evaluation.folder(), evaluation.description())
  try:
    folder.open()
  except workdir.WorkdirError as error:
    message = str(error).replace('--workdir', '--out or --name')
    raise workdir.WorkdirError(message) from error
  return folder


def _dataset(evaluation: Evaluation, val):
  """What `evaluate` reads of a `Dataset`."""
  clips = evaluation.clips
  empty = types.SimpleNamespace(
    targets=tasks.empty_targets(evaluation.schema, (1, 1)),
    frame_mask=tasks.empty_targets((tasks.expr_task(),), (1, 1))['expr'].mask,
    truth=None,
  )
  fitted = clips if evaluation.key == FIT_SPLIT else empty
  if val is not None:
    schemas = evaluation.run.schema, evaluation.schema
    fitted = val  # with its votes
    if schemas[0] != schemas[1]:
      fitted = Relabelling(val, relabel(val.targets, *schemas).targets)
  return types.SimpleNamespace(
    val=fitted,
    test=clips,
    ood=evaluation.ood,
    name=evaluation.split.spec.name,
  )


class _Predictor:
  """Predictions of a generation: from the folder, or made and written there."""

  def __init__(
    self, evaluation: Evaluation, folder: pathlib.Path, console, val
  ):
    self._of, self._folder, self._console = evaluation, folder, console
    self._val = val
    self._kind: Any = None
    self._trainer: Trainer | None = None  # built when needed: it compiles

  def __call__(self, name: str) -> Predictions:
    path = _predictions(self._folder, name)
    if path.exists():
      try:
        return Predictions.load(path, self._of.run.schema)
      except DAMAGED as error:
        self._say(f'{path} is damaged ({error}): predicting again')
    with self._console.status(terminal.plain(f'{name}: predicting')):
      made = self._predict(name)
    made.save(path)
    self._say(f'{name}: predicted')  # the status is not seen in logs
    return made

  def _say(self, text: str):
    terminal.say(self._console, text)

  def _predict(self, name: str) -> Predictions:
    this, run = self._of, self._of.run
    trainer = self._trainer_for(name)
    weights = run.weights(name, this.members)
    placed = trainer.place_weights(weights)
    sets = {this.key: this.clips}
    sets |= {f'ood/{key}': clips for key, clips in this.ood.items()}
    key = jax.random.key(run.config.seed)
    key = jax.random.fold_in(key, run.stack(name).stream)
    samples, heads = this.passes(name), [task.name for task in run.schema]
    # Temperatures are fitted on predictions over the same views.
    fit = {} if _stored(this, name) else {FIT_SPLIT: self._val}
    logits = {
      title: trainer.predict(*placed, clips)
      for title, clips in fit.items()
      if clips is not None
    }
    passes = {}
    for title, clips in sets.items():
      logits[title], drawn = trainer.predict_and_sample(
        *placed, clips, key, samples
      )
      if samples:
        passes[title] = drawn
    if (learned := run.experiment().LEARNED) is not None:
      doubt = {title: found[learned] for title, found in logits.items()}
      workdir.write_arrays(_doubt(self._folder, name), doubt)
    epochs = run.predictions(name).epochs
    epochs = [epochs[m] for m in this.members]
    logits, passes = (
      {
        title: {head: found[head] for head in heads}
        for title, found in x.items()
      }
      for x in (logits, passes)
    )
    return Predictions(name, run.schema, logits, epochs, passes)

  def _trainer_for(self, name: str) -> Trainer:
    """A trainer; stacks of one network and one kind of batches share it."""
    this, run = self._of, self._of.run
    module, members = run.experiment(), len(this.members)
    kind = (
      module.network_for(run.config, name),
      module.settings_for(this.config, name, members),
    )
    if self._trainer is None or kind != self._kind:
      self._trainer = run.trainer(name, members, this.config)
      self._kind = kind
    return self._trainer


def _stored(evaluation: Evaluation, name: str) -> dict[str, np.ndarray] | None:
  """What the run has predicted for its validation set, if that is of use here."""
  if evaluation.refitted():
    return None
  return evaluation.run.predictions(name).logits.get(FIT_SPLIT)


def _scored(
  evaluation: Evaluation, prediction: Predictions, val
) -> Predictions:
  """The outputs that are scored, with the run's own validation logits."""
  run, name = evaluation.run, prediction.name
  logits = dict(prediction.logits)
  stored = _stored(evaluation, name)
  if val is not None and stored is not None:
    rows = list(evaluation.members)
    logits[FIT_SPLIT] = {task: array[rows] for task, array in stored.items()}
  reduced = {
    task.name: selected_outputs(task, kept)
    for task, kept in zip(run.schema, evaluation.schema, strict=True)
    if task != kept
  }

  def select(sets):
    # In memory as the run has it, or sums would round differently.
    return {
      key: {
        name: np.ascontiguousarray(array[..., reduced[name]])
        if name in reduced
        else array
        for name, array in heads.items()
      }
      for key, heads in sets.items()
    }

  return Predictions(
    name,
    evaluation.schema,
    select(logits),
    prediction.epochs,
    select(prediction.mc),
  )


def _provenance(evaluation: Evaluation, notes: list[str]) -> dict[str, Any]:
  """What the report says about where the models come from."""
  data = evaluation.run.config.data
  trained = 'embedded' if data.name == 'embedded' else data.path
  return {
    'run': evaluation.run.path.resolve().name,
    'trained_on': trained,
    'members': list(evaluation.members),
    'notes': notes,
  }
