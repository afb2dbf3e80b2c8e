"""The guarantees of an exported model, fitted anew on data that are at hand.

What an export fits on its run's validation set (temperatures, thresholds of
uncertainty, prediction sets) needs no run: predictions of the model and labels do.
"""

import dataclasses
import os
import pathlib
from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from emojax import experiments, settings, tasks
from emojax.data import relabel
from emojax.data.clips import evaluation_sets
from emojax.data.store.store import Spec
from emojax.data.store.stored import Store
from emojax.evaluation.coverage_labels import count
from emojax.evaluation.frames import labelled, valid
from emojax.runtime import workdir
from emojax.trained import (
  calibration,
  guarantees,
  pooling,
  reevaluation,
  shipped,
)
from emojax.trained import card as model_card
from emojax.trained import folder as release
from emojax.trained import model as pretrained
from emojax.trained.answering import LEARNED
from emojax.trained.guarantees import Source
from emojax.trained.writing import ExportError, check_free, write
from emojax.uncertainty import prior

CHUNK = 256  # clips that are read at a time
Json = dict[str, Any]


class Known(NamedTuple):
  """Clips with labels of a model's tasks.

  Attributes:
    clips: The clips.
    source: What they are.
  """

  clips: Any
  source: Source


def recalibrate(
  source: str | os.PathLike,
  out: str | os.PathLike,
  data: str | None = None,
  split: str | None = None,
  ignore_labels: Collection[str] = (),
  pool: bool = False,
) -> pathlib.Path:
  """Writes a model with guarantees by other data; the given one stays as it is.

  Args:
    source: As for `emojax.load`.
    out: Folder to write; must not exist, or be empty.
    data: Folder of a prepared data set; None for that of the model's settings.
    split: Of its splits, one that the model was not trained on; None for the
      part of the model's own data that chose its epochs, as its settings say.
    ignore_labels: Classes of the data that the model does not know.
    pool: Also fit a temperature to the mean of the members, and divide the weights
      of the last layers by it (`pooling`).

  Returns:
    `out`.

  Raises:
    ExportError: If `out` is in use, the data are of no use, or the model was
      trained on them.
    ModelError: If the model cannot be loaded.
    StoreError: If there is no such data set or split.
    SchemaMismatchError: If the labels are not the model's.
  """
  out = pathlib.Path(out)
  check_free(out)
  folder = folder_of(source)
  metadata = release.read_metadata(folder)
  kept, text = release.read_arrays(folder, metadata), _card(folder)
  model = pretrained.Model(metadata, release.tree(kept))
  known = at_hand(model, data, split, ignore_labels)
  changed = False
  if pool:
    kept, metadata, changed = _pooled(model, kept, known)
    if changed:
      model = pretrained.Model(metadata, release.tree(kept))
      noted = (*known.source.notes, guarantees.POOLED)
      known = known._replace(
        source=dataclasses.replace(known.source, notes=noted)
      )
  metadata |= fitted(model, known)
  text = model_card.recalibrated(text, metadata, changed)
  write(out, release.contents(kept, metadata, text))
  return out


def folder_of(source: str | os.PathLike) -> pathlib.Path:
  """The folder of a model; raises ModelError where there is none.

  Args:
    source: As for `emojax.load`.
  """
  folder = shipped.find(os.fspath(source))
  if not os.path.lexists(folder):
    raise release.ModelError(shipped.unknown(os.fspath(source)))
  if folder.is_file():
    raise release.ModelError(
      f'{folder} is a file: name the folder of an exported model, with its '
      'model.json and weights.safetensors'
    )
  return folder


def at_hand(
  model: pretrained.Model,
  data: str | None,
  split: str | None,
  ignore_labels: Collection[str] = (),
) -> Known:
  """Clips with labels of a model's tasks; arguments and errors as `recalibrate`."""
  try:
    return _known(model.metadata, model.schema, data, split, ignore_labels)
  except (AttributeError, KeyError, TypeError) as error:
    raise ExportError(
      'model.json does not say with which settings the model was trained '
      f'({type(error).__name__}: {error})'
    ) from error


def _pooled(model: pretrained.Model, arrays, known: Known):
  """Weights and description with a temperature of the mean, and whether they are
  others than before; see `pooling`."""
  alone = pooling.one_view(model)
  views = [logits_of(alone, known.clips)]
  if model.metadata.get('flip', False):
    views.append(logits_of(alone, known.clips, mirrored=True))
  best = pooling.fit(model, views, known.clips)
  said = known.source
  where = f'the split {said.split} of {said.data}' if said.data else (
    'the validation set'
  )  # fmt: skip
  where += f' ({count(known.clips)[1]:,} people, or images without names)'
  stay = [name for name, values in best.items() if (values == 1).all()]
  kept, metadata = pooling.sharpened(model, arrays, best, where)
  metadata['notes'] = [
    *(n for n in metadata['notes'] if not n.startswith(pooling.STAY)),
    *(
      f'{pooling.STAY}{name} for people whom it is not fitted on, by {where}: its '
      'logits stay'
      for name in stay
    ),
  ]
  return kept, metadata, len(stay) < len(best)


def _card(folder: pathlib.Path) -> str:
  """The text of a model's card; '' without one."""
  try:
    return (release.read_card(folder) or b'').decode()
  except UnicodeDecodeError as error:
    raise ExportError(
      f'{folder / release.CARD} is no text in UTF-8 ({error}): save it as such, or remove it'
    ) from error


def fitted(model: pretrained.Model, known: Known) -> Json:
  """What model.json says of a model that was calibrated on some clips.

  Args:
    model: The model.
    known: The clips.

  Returns:
    `temperatures`, `thresholds`, `conformal`, `notes` and `versions`.

  Raises:
    ExportError: If the network has no finite output for some frame.
  """
  metadata, clips = model.metadata, known.clips
  logits = prior.correct(model.schema, logits_of(model, clips), model.prior)
  found = calibration.calibrate(model.schema, logits, clips)
  stale = calibration.NO_TEMPERATURES
  notes = [n for n in metadata['notes'] if not n.startswith(stale)]
  thresholds = {**metadata['thresholds'], 'uncertainty': found.uncertainty}
  if not known.source.data:
    # Probabilities are of the classes of the training, whatever is at hand now.
    thresholds['prevalence'] = found.prevalence
  return {
    'temperatures': found.temperatures,
    'thresholds': thresholds,
    guarantees.KEY: guarantees.fit(
      model.schema, logits, clips, model.bin_values, known.source
    ),
    'notes': [*notes, *found.notes],
    'versions': {
      **workdir.environment(),
      'trained_with': metadata['versions']['trained_with'],
    },
  }


def logits_of(
  model: pretrained.Model, clips, mirrored: bool = False
) -> dict[str, np.ndarray]:
  """Logits of all members, task -> [M, N, L, outputs]; of mirror images or not.

  Raises:
    ExportError: If the network has no finite output for some frame.
  """
  parts = []
  for start in range(0, len(clips), CHUNK):
    some = clips.take(np.arange(start, min(start + CHUNK, len(clips))))
    image = some.image[..., ::-1, :] if mirrored else some.image
    parts.append(model.logits(image, some.audio))
    parts[-1].pop(LEARNED, None)
  found = {k: np.concatenate([p[k] for p in parts], 1) for k in parts[0]}
  for name, array in found.items():
    flat = array.reshape(len(array), -1, array.shape[-1])[:, valid(clips)]
    if not np.isfinite(flat).all():
      raise ExportError(
        f'the network has no finite output of {name} for some of these frames: '
        'no threshold can be fitted on them'
      )
  return found


def _known(metadata, schema, data, split, ignore) -> Known:
  """The clips that are asked for, with labels of the model's tasks."""
  config, spec = _settings(metadata, data, split)
  experiment = experiments.trained(config.experiment)
  own = spec.name == metadata['trained_on']
  if split is None:
    clips = _own_validation(metadata, config, spec, experiment)
    source, found = guarantees.VALIDATION, spec.schema
  else:
    chosen = own and reevaluation.is_validation(config.data, split)
    if own and split == 'train':
      raise ExportError(
        f'the model was trained on the split train of {spec.name}, so that its '
        'scores promise nothing: name another one. Data '
        'sets are known by name: other pictures of this name can be prepared '
        "with another split (a folder's table has a column for it)"
      )
    opened = evaluation_sets.open_split(config.data, split)
    found = opened.spec.schema
    clips = experiment.as_trained(config, opened.clips, found)
    if not chosen:
      source = Source(split, False, spec.name)
    elif _counted(metadata) in (None, count(clips)):
      source = guarantees.VALIDATION
    else:
      notes = (guarantees.SAME_NAME,)
      source = Source(split, True, spec.name, notes)
  return _labelled(clips, found, schema, ignore, source)


def _settings(metadata, data, split) -> tuple[ConfigDict, Spec]:
  """The model's settings with data that are at hand, and what these are."""
  config = ConfigDict(settings.renamed(metadata['config']))
  reevaluation.complete(config.data)
  if data is not None:
    config.data.name, config.data.path = 'prepared', data
  if config.data.name == 'embedded':
    size = config.data.image_size
    return config, Spec('embedded', tasks.ABAW2021, size, 3)
  if data is None:
    raise ExportError('the model was trained on files: name them with --data')
  config.data.ood_path, config.data.memory_gib = '', 0.0
  if split is not None:  # with frames without a label, as the run's test split
    config.data.test_split = split
  return config, Store(data).spec


def _own_validation(metadata, config, spec: Spec, experiment):
  """What chose the epochs, by the settings of the run; counted if it can be."""
  if spec.name != metadata['trained_on']:
    raise ExportError(
      f'the data set is {spec.name}, the model was trained on '
      f'{metadata["trained_on"]}: name one of its splits with --split'
    )
  clips = experiment.held_out(config)['val']
  before = _counted(metadata)
  if before not in (None, count(clips)):
    raise ExportError(
      'the validation part of these data has {:,} frames of {:,} subjects, that '
      'of the run had {:,} of {:,}: they are other data, or prepared otherwise. '
      'Name a split with --split'.format(*count(clips), *before)
    )
  return clips


def _counted(metadata) -> tuple[int, int] | None:
  """(frames, subjects) that chose the model's epochs; None where it is not said."""
  said = metadata.get(guarantees.KEY, {}).get('calibration', {})
  if not said.get('selected_on') or 'data' in said:
    return None
  return said['frames'], said['subjects']


def _labelled(clips, found, schema, ignore, source: Source) -> Known:
  """Clips with labels of a schema; tasks that are labelled in part have none."""
  adapted = relabel.relabel(clips.targets, found, schema, ignore)
  targets, notes = dict(adapted.targets), list(adapted.notes)
  for task, kept in zip(schema, adapted.schema, strict=True):
    if task.labels != kept.labels:
      shape = clips.frame_mask.shape
      targets[task.name] = tasks.empty_targets((task,), shape)[task.name]
      notes.append(
        f'no prediction sets of {task.name}, whose labels are not all'
      )
  if ignore or not set(schema) <= set(found):
    out = relabel.left_out(clips.targets, adapted.targets) if ignore else None
    clips = relabel.Relabelling(clips, targets, without=out)
  if not any(labelled(task, clips) for task in schema):
    why = '; '.join(notes)
    raise ExportError(
      'no frame of these data has a label of the model'
      + (f': {why}' if why else '')
    )
  notes = (*source.notes, *notes)
  return Known(clips, dataclasses.replace(source, notes=notes))
