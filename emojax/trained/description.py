"""What model.json may say: every key that loading and predicting rest on."""

import collections
import hashlib
import itertools
import json
import math
import re
from collections.abc import Mapping
from typing import Any

from emojax import tasks
from emojax.faces.align import CropRule
from emojax.uncertainty import prior

MEAN = 'mean'  # the uncertainty over all tasks
KINDS = ('total', 'aleatoric', 'epistemic')
KINDS_OF_TASKS = ('binary', 'categorical', 'binned')
NETWORK = frozenset({'name', 'options', 'attributes', 'read_out'})
PREPROCESSING = frozenset({
  'image_size', 'channels', 'colours', 'resizing', 'range', 'clip_length',
  'audio', 'augment', 'ten_crop', 'crop', 'grey',
})  # fmt: skip
MAX_BYTES = 1 << 24  # of model.json
MAX_SIZE = 4096  # of images, in pixels
TEMPERATURES = (1e-4, 1e4)  # a little more than what is fitted
_NAMES = {dict: 'an object', list: 'a list', str: 'a text', int: 'a number'}


def digest(metadata: Mapping[str, Any]) -> str:
  """SHA-256 of all that model.json says, but for the digests of files."""
  said = {key: value for key, value in metadata.items() if key != 'files'}
  said = json.loads(json.dumps(said))  # tuples are lists, keys are texts
  text = json.dumps(said, sort_keys=True, separators=(',', ':'))
  return hashlib.sha256(text.encode()).hexdigest()


def check(
  metadata: Any,
  options: frozenset[str],
  weights: str,
  attributes: frozenset[str] = frozenset(),
):
  """Checks what a model's description says.

  Args:
    metadata: The contents of model.json.
    options: What `model.options` may name.
    weights: Name of the file of weights, whose SHA-256 must be given.
    attributes: What `model.attributes` may name.

  Raises:
    ValueError: If a key is missing or its value is of no use; names the key.
  """
  check_answers(metadata)
  model = metadata['model']
  if extra := _get(model, 'options', dict, 'model.').keys() - options:
    raise ValueError(f'model.options: unknown {", ".join(sorted(extra))}')
  _check_network(model, attributes)
  _check_files(_get(metadata, 'files', dict), weights)


def check_answers(metadata: Any):
  """Checks all that answers rest on, but for the network and its weights.

  Args:
    metadata: The contents of model.json.

  Raises:
    ValueError: As `check`.
  """
  if not isinstance(metadata, dict):
    raise ValueError('it holds no object')
  members = _get(metadata, 'members', list)
  if not members or len({_count(m, 'members') for m in members}) < len(members):
    raise ValueError('members: expected different numbers')
  model = _get(metadata, 'model', dict)
  _get(model, 'name', str, 'model.')
  _check_preprocessing(_get(metadata, 'preprocessing', dict))
  schema = _schema(_get(metadata, 'schema', list))
  _check_bins(schema, metadata)
  _check_temperatures(schema, metadata, len(members))
  _check_prior(schema, metadata)
  _check_pooled(schema, metadata)
  thresholds = _get(metadata, 'thresholds', dict)
  _check_decisions(schema, _get(thresholds, 'decision', dict, 'thresholds.'))
  _check_limits(schema, _get(thresholds, 'uncertainty', dict, 'thresholds.'))
  _check_prevalence(schema, thresholds)


def _get(parent: dict, key: str, kind: type, where: str = ''):
  if key not in parent:
    raise ValueError(f'{where}{key} is missing')
  value = parent[key]
  if not isinstance(value, kind) or isinstance(value, bool):
    raise ValueError(f'{where}{key}: expected {_NAMES[kind]}')
  return value


def _count(value, where: str, low: int = 0, high: int = 2**31) -> int:
  if type(value) is not int or not low <= value < high:
    raise ValueError(f'{where}: expected a whole number from {low}')
  return value


def _number(value, where: str, low: float = -math.inf, high: float = math.inf):
  """A finite number in [low, high]."""
  number = type(value) in (int, float) and abs(value) < 1e300
  if not number or not low <= value <= high:
    span = '' if low == -math.inf else f' from {low:g} to {high:g}'
    raise ValueError(f'{where}: expected a finite number{span}')
  return value


def _check_network(model: dict, attributes: frozenset[str]):
  """Whether nothing is said that `network.build` would leave out."""
  if extra := model.keys() - NETWORK:
    raise ValueError(f'model: unknown {", ".join(sorted(extra))}')
  if 'read_out' in model:
    _get(model, 'read_out', str, 'model.')
  if 'attributes' in model:
    found = _get(model, 'attributes', dict, 'model.')
    if extra := found.keys() - attributes:
      raise ValueError(f'model.attributes: unknown {", ".join(sorted(extra))}')
    for key, value in found.items():
      if not isinstance(value, str | int) or isinstance(value, bool):
        raise ValueError(f'model.attributes.{key}: expected a text or a number')


def _check_preprocessing(found: dict):
  where = 'preprocessing.'
  if extra := found.keys() - PREPROCESSING:  # it would be left out in silence
    raise ValueError(f'preprocessing: unknown {", ".join(sorted(extra))}')
  size = _get(found, 'image_size', int, where)
  _count(size, f'{where}image_size', 1, MAX_SIZE + 1)
  if _get(found, 'channels', int, where) not in (1, 3):
    raise ValueError(f'{where}channels: expected 1 or 3')
  if 'augment' in found:
    _get(found, 'augment', str, where)
  for key in ('ten_crop', 'grey'):
    if not isinstance(found.get(key, False), bool):
      raise ValueError(f'{where}{key}: expected true or false')
  if 'audio' not in found or not isinstance(found['audio'], str | None):
    raise ValueError(f'{where}audio: expected a text or null')
  if 'crop' in found:  # models that were trained on other crops have none
    try:
      CropRule.from_json(found['crop'])
    except ValueError as error:
      raise ValueError(f'{where}crop: {error}') from None


def _schema(items: list) -> list[dict]:
  """The tasks with sound names, labels and bins."""
  if len(items) > tasks.MAX_TASKS:
    raise ValueError(f'schema: expected at most {tasks.MAX_TASKS} tasks')
  for i, item in enumerate(items):
    where = f'schema[{i}]'
    if not isinstance(item, dict):
      raise ValueError(f'{where}: expected an object')
    if not tasks.NAME.fullmatch(_get(item, 'name', str, f'{where}.')):
      raise ValueError(f'{where}.name: expected letters, digits and _')
    if _get(item, 'kind', str, f'{where}.') not in KINDS_OF_TASKS:
      raise ValueError(f'{where}.kind: expected one of {KINDS_OF_TASKS}')
    _check_labels(_get(item, 'labels', list, f'{where}.'), f'{where}.labels')
    if 'bins' not in item:
      raise ValueError(f'{where}.bins is missing')
    binned = item['kind'] == 'binned'
    _count(item['bins'], f'{where}.bins', *((2, 10_000) if binned else (0, 1)))
  names = [item['name'] for item in items]
  if not names or len(set(names)) < len(names) or MEAN in names:
    raise ValueError('schema: expected tasks of different names')
  return items


def _check_labels(labels: list, where: str):
  if not 0 < len(labels) <= tasks.MAX_LABELS:
    raise ValueError(f'{where}: expected 1 to {tasks.MAX_LABELS:,} names')
  if wrong := [label for label in labels if not tasks.is_label(label)]:
    raise ValueError(
      f'{where}: expected printable names of at most {tasks.MAX_NAME:,} '
      f'characters, found {str(wrong[0])[:40]!r}'
    )
  if len(set(labels)) < len(labels):
    twice = next(k for k, n in collections.Counter(labels).items() if n > 1)
    raise ValueError(f'{where}: {twice!r} is there twice')


def _check_bins(schema: list[dict], metadata: dict):
  """One ascending value for each bin, if there are binned tasks."""
  if 'bin_values' not in metadata:
    raise ValueError('bin_values is missing')
  values = metadata['bin_values']
  for task in schema:
    if task['kind'] != 'binned':
      continue
    if not isinstance(values, list) or len(values) != task['bins']:
      raise ValueError(f'bin_values: expected {task["bins"]} numbers')
    numbers = [_number(value, 'bin_values', -1, 1) for value in values]
    if any(a >= b for a, b in itertools.pairwise(numbers)):
      raise ValueError('bin_values: expected them to ascend')


def _check_temperatures(schema: list[dict], metadata: dict, members: int):
  found = metadata.get('temperatures')
  if found is None:
    return
  known = {task['name']: task for task in schema}
  for name, values in _get(metadata, 'temperatures', dict).items():
    where = f'temperatures.{name}'
    if name not in known:
      raise ValueError(f'{where}: there is no such task')
    if values is None:
      continue
    if not isinstance(values, list) or len(values) != members:
      raise ValueError(f'{where}: expected one for each of {members} members')
    for value in values:
      _check_temperature(known[name], value, where)


def _check_temperature(task: dict, value, where: str):
  if task['kind'] == 'categorical':
    _number(value, where, *TEMPERATURES)
    return
  count = len(task['labels'])
  if not isinstance(value, list) or len(value) != count:
    raise ValueError(f'{where}: expected one for each of {count} labels')
  for one in value:
    _number(one, where, *TEMPERATURES)


def _check_prior(schema: list[dict], metadata: dict):
  """Task -> label -> log weight; models of before have none."""
  if 'prior' not in metadata:
    return
  known = {task['name']: task for task in schema}
  for name, values in _get(metadata, 'prior', dict).items():
    if name not in known:
      raise ValueError(f'prior.{name}: there is no such task')
    task = known[name]
    prior.check(task['kind'], task['labels'], values, f'prior.{name}')


def _check_pooled(schema: list[dict], metadata: dict):
  """Task -> by what its logits were divided, and on what that was fitted."""
  if 'pooled' not in metadata:
    return
  known = {task['name']: task for task in schema if task['kind'] != 'binned'}
  for name in _get(metadata, 'pooled', dict):
    where = f'pooled.{name}.'
    if name not in known:
      raise ValueError(f'{where[:-1]}: there is no such task with temperatures')
    said = _get(metadata['pooled'], name, dict, 'pooled.')
    on = _get(said, 'on', list, where)
    if not all(isinstance(text, str) for text in on):
      raise ValueError(f'{where}on: expected texts')
    _check_temperature(known[name], said.get('by'), f'{where}by')


def _check_prevalence(schema: list[dict], thresholds: dict):
  """Task -> class -> share of the labels; models of before have none."""
  if 'prevalence' not in thresholds:
    return
  known = {t['name']: t['labels'] for t in schema if t['kind'] == 'categorical'}
  where = 'thresholds.prevalence.'
  for name, values in _get(
    thresholds, 'prevalence', dict, 'thresholds.'
  ).items():
    if name not in known:
      raise ValueError(f'{where}{name}: there is no such task with classes')
    if not isinstance(values, dict) or set(values) != set(known[name]):
      raise ValueError(
        f'{where}{name}: expected a number for each of its classes'
      )
    shares = [_number(v, f'{where}{name}.{k}', 0, 1) for k, v in values.items()]
    if not math.isclose(sum(shares), 1, abs_tol=1e-3):
      raise ValueError(f'{where}{name}: the shares do not add up to 1')


def _check_decisions(schema: list[dict], found: dict):
  binary = {t['name']: t['labels'] for t in schema if t['kind'] == 'binary'}
  if found.keys() != binary.keys():
    raise ValueError(f'thresholds.decision: expected {sorted(binary)}')
  for name, labels in binary.items():
    limits = _get(found, name, dict, 'thresholds.decision.')
    if list(limits) != labels:
      raise ValueError(
        f'thresholds.decision.{name}: expected the labels of the task, in '
        'their order'
      )
    for label, value in limits.items():
      _number(value, f'thresholds.decision.{name}.{label}', 0, 1)


def _check_limits(schema: list[dict], found: dict):
  """Task or 'mean' -> kind -> share -> uncertainty."""
  names = {task['name'] for task in schema} | {MEAN}
  for name in found:
    where = f'thresholds.uncertainty.{name}'
    if name not in names:
      raise ValueError(f'{where}: there is no such task')
    kinds = _get(found, name, dict, 'thresholds.uncertainty.')
    for kind in kinds:
      if kind not in KINDS:
        raise ValueError(f'{where}.{kind}: expected one of {KINDS}')
      for share, value in _get(kinds, kind, dict, f'{where}.').items():
        _number(value, f'{where}.{kind}.{share}')


def _check_files(found: dict, weights: str):
  if found.keys() != {weights}:
    raise ValueError(f'files: expected the SHA-256 of {weights} alone')
  if not re.fullmatch('[0-9a-f]{64}', _get(found, weights, str, 'files.')):
    raise ValueError(f'files.{weights}: expected a SHA-256')
