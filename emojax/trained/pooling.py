"""One temperature for the mean of all members, in the weights of the last layers.

Members that are calibrated one by one are too unsure together: their mean is less
certain than each of them. "Pool, then calibrate" (Rahaman and Thiery, NeurIPS 2021)
fits the temperature to the mean. Here the last layers' weights are divided by it, so
that every answer of the model has it, in whatever format; model.json keeps it under
`pooled`.
"""

import copy
from collections.abc import Sequence
from typing import Any

import flax.traverse_util
import numpy as np

from emojax import tasks, uncertainty
from emojax.engine import flip
from emojax.evaluation import coverage_labels
from emojax.evaluation.coverage_labels import Labels
from emojax.trained import folder as release
from emojax.trained.guarantees import KEY as SETS
from emojax.trained.model import Model
from emojax.trained.writing import ExportError
from emojax.uncertainty import prior, temperature

Arrays = dict[str, np.ndarray]
Json = dict[str, Any]
Logits = dict[str, np.ndarray]
KEY = 'pooled'
# Temperatures beyond are of labels that are separable or constant.
PEOPLE, FOLDS = 100, 5  # people, or images without a name, at least
STAY = 'no temperature of the mean helps '  # how such a note begins
CLOSE = 5e-3  # of kernels that are kept in float16


def one_view(model: Model) -> Model:
  """The model without its second view, the mirror image."""
  return Model({**model.metadata, 'flip': False}, model.weights())


def fit(model: Model, views: Sequence[Logits], clips) -> dict[str, np.ndarray]:
  """Temperatures of the mean, task -> [] or [A].

  The mean is the model's answer: of both views for each member, corrected for priors,
  then of the members. A temperature counts if it raises the likelihood of people whom
  it was not fitted on (five folds); else it is 1, which changes nothing. Models that
  were calibrated on votes are so again.

  Args:
    model: The model.
    views: Task -> logits [M, N, L, outputs], of one view or of both.
    clips: Clips with labels that no member was trained on.

  Raises:
    ExportError: If there is one member, or labels are missing, of few people, or of
      another kind than the model's.
  """
  if model.num_members < 2:
    raise ExportError(
      'the model has one member, so that there is no mean to calibrate: leave '
      '--pool out; predict(..., temperature=True) has its temperatures'
    )
  known = [
    one
    for one in coverage_labels.labels(model.schema, clips)
    if one.task.kind != 'binned'
  ]
  if not known:
    raise ExportError(
      'no frame has a label of expressions or action units: leave --pool out'
    )
  soft = model.metadata.get(SETS, {}).get('calibration', {}).get('soft', ())
  found = {}
  for name in dict.fromkeys(one.task.name for one in known):
    labels = _of_kind([one for one in known if one.task.name == name], soft)
    parts = [labels.pick(view) for view in views]
    shift = model.prior.get(name, np.zeros(labels.task.num_outputs))
    found[name] = _fit(labels, parts, shift)
  return found


def _of_kind(found: Sequence[Labels], soft: Sequence[str]) -> Labels:
  """Labels of a task as those that the model was calibrated on: votes or not."""
  name = found[0].task.name
  for one in found:
    if one.task.kind == 'binary' or one.soft == (name in soft):
      return one
  has, lacks = ('votes', 'majorities') if name in soft else ('labels', 'votes')
  raise ExportError(
    f'the model was calibrated on {has} for {name}, and these data have {lacks}: its '
    'answers would be sharpened, or flattened, into those of another kind. Prepare '
    'the data with the kind of labels that it learned, or leave --pool out'
  )


def _fit(labels: Labels, parts, shift: np.ndarray) -> np.ndarray:
  task, (value, mask) = labels.task, labels.target
  if task.kind == 'categorical':
    units = [(task, slice(None), np.asarray(mask) > 0)]
  else:
    units = [
      (
        tasks.Task(task.name, 'binary', (unit,)),
        [i],
        np.asarray(mask)[..., i] > 0,
      )
      for i, unit in enumerate(task.labels)
    ]
  people = max(len(np.unique(labels.groups[rows])) for _, _, rows in units)
  if people < PEOPLE:
    raise ExportError(
      f'--pool needs labels of {task.name} for {PEOPLE} people at least (of images '
      f'without names: images), these data have {people}: with fewer, chance decides '
      'about it'
    )
  found = [
    _temperature(
      one,
      [part[:, rows][..., at] for part in parts],
      shift[at],
      np.asarray(value, np.float64)[rows][..., at],
      labels.groups[rows],
    )
    for one, at, rows in units
  ]
  return np.array(found[0] if task.kind == 'categorical' else found)


def _temperature(task, parts, shift, value, groups) -> float:
  """Of one unit, or of all classes; 1 if it does not help people of other folds."""
  names, person = np.unique(groups, return_inverse=True)
  if len(names) < PEOPLE:
    return 1.0

  def nll(t: float, rows=slice(None)) -> np.ndarray:
    probs = _answer(task, [part[:, rows] for part in parts], shift, 1 / t)
    return _surprise(task, probs, value[rows])

  def best(rows) -> float:
    return temperature.minimise(lambda beta: float(nll(1 / beta, rows).mean()))

  fold = np.random.default_rng(0).permutation(len(names))[person] % FOLDS
  gain = np.zeros(len(groups))
  for i in range(FOLDS):
    held, t = fold == i, best(fold != i)
    gain[held] = nll(1.0, held) - nll(t, held)
  t, (low, high) = best(slice(None)), temperature.MEANINGFUL
  helps = coverage_labels.mean(gain, groups) > 0
  return t if helps and low < t < high else 1.0


def _answer(task, parts, shift, beta: float) -> np.ndarray:
  """What the model answers with all logits times beta, [F, ...]."""
  scaled = [np.asarray(beta * part, np.float64) for part in parts]
  if len(scaled) == 2:
    scaled = [np.asarray(flip.mean_logits(task, *scaled), np.float64)]
  corrected = prior.apply(task, scaled[0], {task.name: beta * shift})
  return uncertainty.probabilities(task, corrected).mean(0)


def _surprise(task, probs, value) -> np.ndarray:
  """-log likelihood of hard or soft labels, [F]."""
  logs = np.log(np.maximum(probs, 1e-30))
  if task.kind == 'categorical':
    return -(value * logs).sum(-1)
  other = np.log(np.maximum(1 - probs, 1e-30))
  return -(value * logs + (1 - value) * other)[..., 0]


def sharpened(
  model: Model, arrays: Arrays, found: dict[str, np.ndarray], where: str
) -> tuple[Arrays, Json]:
  """Weights and description of a model whose logits are divided by temperatures.

  Args:
    model: The model.
    arrays: Its weights by name, as they are kept.
    found: From `fit`.
    where: What they were fitted on, for the card.

  Raises:
    ExportError: If the network has no last layer of its own for a task.
  """
  kept, metadata = dict(arrays), copy.deepcopy(model.metadata)
  corrections = metadata.get('prior', {})
  for task in model.schema:
    if task.name not in found or (found[task.name] == 1).all():
      continue
    factor = np.broadcast_to(found[task.name], task.num_outputs)
    for name in _last_layer(kept, task):
      kept[name] = (np.float64(kept[name]) / factor).astype(kept[name].dtype)
    # (z - prior) / T, as temperatures come after the correction.
    if task.name in corrections:
      scales = dict(zip(task.labels, factor.tolist(), strict=True))
      old = corrections[task.name]
      corrections[task.name] = {k: v / scales[k] for k, v in old.items()}
    before = metadata.setdefault(KEY, {}).get(task.name, {'by': 1.0, 'on': []})
    metadata[KEY][task.name] = {
      'by': (np.asarray(before['by']) * found[task.name]).tolist(),
      'on': [*before['on'], where],
    }
  _check(model, Model(metadata, release.tree(kept)), found)
  return kept, metadata


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
