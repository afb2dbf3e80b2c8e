"""One temperature for the mean of all members, in the weights of the last layers.

Members that are calibrated one by one are too unsure together: their mean is less
certain than each of them. "Pool, then calibrate" (Rahaman and Thiery, NeurIPS 2021)
fits the temperature to the mean. Here the last layers' weights are divided by it, so
that every answer of the model has it, in whatever format.
"""

from collections.abc import Sequence
from typing import Any

import flax.traverse_util
import numpy as np

from emojax import tasks, uncertainty
from emojax.engine import flip
from emojax.evaluation.frames import labelled, pick
from emojax.metrics import calibration
from emojax.trained import folder as release
from emojax.trained.model import Model
from emojax.trained.writing import ExportError
from emojax.uncertainty import prior, temperature

Arrays = dict[str, np.ndarray]
Json = dict[str, Any]
Logits = dict[str, np.ndarray]
# Temperatures beyond are of labels that are separable, constant or too few.
LIMITS = 0.1, 10.0
# Of kernels that are kept in float16.
CLOSE = 5e-3


def one_view(model: Model) -> Model:
  """The model without its second view, the mirror image."""
  return Model({**model.metadata, 'flip': False}, model.weights())


def fit(model: Model, views: Sequence[Logits], clips) -> dict[str, np.ndarray]:
  """Temperatures of the mean, task -> [] or [A].

  The mean is the model's answer: of both views for each member, corrected for priors,
  then of the members. 1, which changes nothing, where there are no labels, or so few
  that the best temperature is beyond `LIMITS`; no key for a task without any other.
  Valence and arousal have none.

  Args:
    model: The model.
    views: Task -> logits [M, N, L, outputs], of one view or of both.
    clips: Clips with labels that no member was trained on.

  Raises:
    ExportError: If there is one member, or nothing can be fitted.
  """
  if model.num_members < 2:
    raise ExportError(
      'the model has one member, so that there is no mean to calibrate: leave '
      '--pool out; predict(..., temperature=True) has its temperatures'
    )
  found = {}
  for task in model.schema:
    frames = None if task.kind == 'binned' else labelled(task, clips)
    if frames is not None:
      parts = [pick(view[task.name], frames.index) for view in views]
      shift = model.prior.get(task.name, np.zeros(task.num_outputs))
      fit_task = _binary if task.kind == 'binary' else _categorical
      values = np.asarray(fit_task(task, parts, shift, frames.target))
      low, high = LIMITS
      values = np.where((values > low) & (values < high), values, 1.0)
      if (values != 1).any():
        found[task.name] = values
  if not found:
    raise ExportError(
      'no temperature can be fitted to the mean: labels of expressions and action '
      'units are missing, or too few to contradict the model; leave --pool out'
    )
  return found


def _categorical(task, parts, shift, target) -> np.ndarray:
  def nll(beta):
    probs = _answer(task, parts, shift, beta)
    return float(calibration.categorical_nll(probs, *target))

  return np.array(temperature.minimise(nll))


def _binary(task, parts, shift, target) -> np.ndarray:
  """One for each unit; 1 for units without labels."""
  found = np.ones(len(task.labels))
  for i, label in enumerate(task.labels):
    if not (target.mask[..., i] > 0).any():
      continue
    one = tasks.Task(task.name, 'binary', (label,))
    labels = tasks.Target(target.value[..., [i]], target.mask[..., [i]])
    alone = [part[..., [i]] for part in parts]

    def nll(beta, one=one, alone=alone, at=shift[[i]], labels=labels):
      probs = _answer(one, alone, at, beta)
      return float(calibration.binary_nll(probs, *labels)[0])

    found[i] = temperature.minimise(nll)
  return found


def _answer(task, parts, shift, beta: float) -> np.ndarray:
  """What the model answers with all logits times beta, [F, ...]."""
  scaled = [np.asarray(beta * part, np.float64) for part in parts]
  if len(scaled) == 2:
    scaled = [np.asarray(flip.mean_logits(task, *scaled), np.float64)]
  corrected = prior.apply(task, scaled[0], {task.name: beta * shift})
  return uncertainty.probabilities(task, corrected).mean(0)


def sharpened(
  model: Model, arrays: Arrays, found: dict[str, np.ndarray], where: str
) -> tuple[Arrays, Json]:
  """Weights and description of a model whose logits are divided by temperatures.

  Args:
    model: The model.
    arrays: Its weights by name, as they are kept.
    found: From `fit`.
    where: What they were fitted on, for the note.

  Raises:
    ExportError: If the network has no last layer of its own for a task.
  """
  kept, notes = dict(arrays), []
  corrections = {k: dict(v) for k, v in model.metadata.get('prior', {}).items()}
  for task in model.schema:
    if task.name not in found:
      continue
    factor = np.broadcast_to(found[task.name], task.num_outputs)
    for name in _last_layer(kept, task):
      kept[name] = (np.float64(kept[name]) / factor).astype(kept[name].dtype)
    # (z - prior) / T, as temperatures come after the correction.
    if task.name in corrections:
      scales = dict(zip(task.labels, factor.tolist(), strict=True))
      old = corrections[task.name]
      corrections[task.name] = {k: v / scales[k] for k, v in old.items()}
    notes.append(_note(task, np.unique(factor), model.num_members, where))
  metadata = {**model.metadata, 'prior': corrections}
  _check(model, Model(metadata, release.tree(kept)), found)
  return kept, {**metadata, 'notes': [*metadata['notes'], *notes]}


def _note(
  task: tasks.Task, values: np.ndarray, members: int, where: str
) -> str:
  said = f'{values[0]:.3f}'
  if len(values) > 1:
    said += f' to {values[-1]:.3f}'
  return (
    f'{task.name}: logits are divided by {said}, in the weights: the temperature '
    f'of the mean of the {members} members, fitted on {where}'
  )


def _last_layer(arrays: Arrays, task: tasks.Task) -> list[str]:
  """Names of the kernel and the bias that make a task's logits."""
  flat = flax.traverse_util.unflatten_dict(arrays, sep='/')
  layers = {
    path: part
    for path, part in _layers(flat['params'], 'params')
    if part['bias'].shape[-1] == task.num_outputs
  }
  own = [
    path for path in layers if task.name in path.replace('/', '_').split('_')
  ]
  chosen = own or list(layers)
  if len(chosen) != 1:
    raise ExportError(
      f'the network has {len(chosen)} layers that could be the last one of '
      f'{task.name}: --pool is for networks with one, leave it out'
    )
  return [f'{chosen[0]}/kernel', f'{chosen[0]}/bias']


def _layers(tree: Json, path: str):
  """(path, {'kernel', 'bias'}) of all affine layers, weights [M, in, out]."""
  for name, part in tree.items():
    if not isinstance(part, dict):
      continue
    if part.keys() >= {'kernel', 'bias'} and part['kernel'].ndim == 3:
      yield f'{path}/{name}', part
    yield from _layers(part, f'{path}/{name}')


def _check(before: Model, after: Model, found: dict[str, np.ndarray]):
  """That logits are the former ones, divided: whatever the network is."""
  shape = (1, 1, before.image_size, before.image_size, 3)
  image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
  audio = None
  if before.audio:
    audio = np.zeros((1, 1, 64, 64), np.float32)
  old, new = (one_view(model).logits(image, audio) for model in (before, after))
  for task in before.schema:
    factor = found.get(task.name, np.ones(()))
    expected = temperature.apply(task, old[task.name], np.asarray(factor))
    if not np.allclose(new[task.name], expected, CLOSE, CLOSE):
      raise ExportError(
        f'dividing the last layer of {task.name} does not divide its logits: '
        'leave --pool out for this network'
      )
