"""What model.json says of a run; `description` checks it when it is read."""

import pathlib
from collections.abc import Sequence
from typing import Any

from ml_collections import ConfigDict

from emojax.data import unseen
from emojax.data.store.stored import Store
from emojax.engine import optimisation
from emojax.experiments import protocol
from emojax.faces import align
from emojax.runtime import workdir
from emojax.settings import flatten, places
from emojax.trained import folder as release
from emojax.trained import run as runs
from emojax.trained.calibration import Calibration
from emojax.uncertainty import prior as priors
from emojax.uncertainty.prior import Prior

CROPS = {'fer2013': align.FER2013}
DECISION = 0.5
COLOURS = {
  False: 'RGB, uint8; grey images are repeated',
  True: 'grey, uint8; of RGB the luma of ITU-R BT.601',
}
UNKNOWN_COLOURS = (
  'whether the training data have colours is not known, as they were not at hand: '
  'if they are grey, make images grey yourself'
)


def describe(
  run: runs.TrainedRun,
  generation: str,
  members: Sequence[int],
  calibration: Calibration,
  prior: Prior | None = None,
  crop: str | None = None,
) -> dict[str, Any]:
  """What model.json holds, without the files' digests.

  Args:
    run: The run.
    generation: Name of the generation.
    members: Their numbers.
    calibration: What was fitted on validation data.
    prior: Log weights that `predict` subtracts; None where they are not known.
    crop: Name of the rule, of `CROPS`, by which its faces were cut.
  """
  config, data = run.config, run.config.data
  net = run.experiment().network_for(config, generation)
  decision = {
    task.name: {name: DECISION for name in task.labels}
    for task in run.schema
    if task.kind == 'binary'
  }
  binned = any(task.kind == 'binned' for task in run.schema)
  colours, unknown = _colours(net.channels, data)
  return {
    'format': release.FORMAT,
    'generation': generation,
    'members': list(members),
    'model': _network(net),
    'schema': [task.to_json() for task in run.schema],
    'bin_values': run.bin_values().tolist() if binned else None,
    'preprocessing': {
      'image_size': data.image_size,
      'channels': net.channels,
      **colours,
      'resizing': 'bilinear with antialiasing (Pillow), face crops as trained',
      'range': 'divided by 255',
      'clip_length': data.clip_length,
      'audio': _sound(data),
      **_views(net),
      **({'crop': CROPS[crop].to_json()} if crop else {}),
    },
    # Predictions, temperatures and thresholds are of both views of an image.
    'flip': optimisation.setting(config.eval, 'flip', 'eval'),
    # Subtracted from logits; temperatures and thresholds are of what is left.
    'prior': priors.to_json(run.schema, prior or {}),
    'temperatures': calibration.temperatures,
    'thresholds': {
      'decision': decision,
      'uncertainty': calibration.uncertainty,
      'prevalence': calibration.prevalence,
    },
    'notes': [
      *run.stack(generation).notes,
      *_unseen(run),
      *unknown,
      *calibration.notes,
    ],
    'paper': run.experiment().PAPER,
    'trained_on': data.name if data.name == 'embedded' else _data_name(run),
    'config': _shareable(config),
    'versions': {**workdir.environment(), 'trained_with': run.environment},
  }


def _unseen(run) -> list[str]:
  """A sentence on the classes that no training frame showed, if the run knows it."""
  names = (run.results() or {}).get('unseen')
  return [unseen.note(names)] if names else []


def _shareable(config) -> dict[str, Any]:
  """The settings; of files and folders only names, not where they lay."""
  found = ConfigDict(config.to_dict())
  found.update_from_flattened_dict(places.shareable(flatten(found.to_dict())))
  return found.to_dict()


def _network(net: protocol.Network) -> dict[str, Any]:
  """What is said of a network; models of before had a name and options only."""
  said = {
    'name': net.name,
    'options': {k: v for k, v in net.options.items() if k in release.OPTIONS},
  }
  if net.attributes:
    said['attributes'] = dict(net.attributes)
  if net.read_out:
    said['read_out'] = net.read_out
  return said


def _views(net: protocol.Network) -> dict[str, Any]:
  """How images are cut before the network sees them, unless they are whole."""
  said = {'augment': net.augment} if net.augment != 'none' else {}
  return said | ({'ten_crop': True} if net.ten_crop else {})


def _sound(data) -> str | None:
  """Kind of the features [64, 64] of every frame that the model reads."""
  if not data.get('audio', False):
    return None
  return 'log_mel' if data.name == 'embedded' else Store(data.path).spec.audio


def _colours(channels: int, data) -> tuple[dict[str, Any], list[str]]:
  """(what `preprocessing` says of colours, a note where they are not known).

  Networks of three channels that were trained on grey images see grey ones only.
  """
  grey, notes = channels == 1, []
  if data.name == 'prepared' and not grey:
    if pathlib.Path(data.path).is_dir():
      grey = Store(data.path).spec.channels == 1
    else:
      notes = [UNKNOWN_COLOURS]
  said = {'colours': COLOURS[grey]}
  return said | ({'grey': True} if grey and channels == 3 else {}), notes


def _data_name(run: runs.TrainedRun) -> str:
  """Name of a prepared data set: its own, or its folder's."""
  results = run.results() or {}
  return results.get('dataset') or pathlib.Path(run.config.data.path).name
