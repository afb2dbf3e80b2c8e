"""Exports a trained generation as a model that others can load.

  python -m emojax.export --workdir=runs/first --out=exported/first
  python -m emojax.export --workdir=runs/first --out=exported/one \\
    --generation=Stu1 --members=0

writes weights (safetensors), model.json (label names in order, preprocessing,
class weights, temperatures, thresholds, versions) and a model card filled from the run. Then

  model = emojax.load('exported/first')
  output = model.predict(images)

The folder appears when everything in it is written, or not at all. Before, the
model must give on some of the run's validation clips what the run itself has
predicted there.
"""

import argparse
import dataclasses
import glob
import hashlib
import json
import os
import pathlib
import shutil
import sys
import time
import uuid
from collections.abc import Sequence
from typing import Any

import flax.traverse_util
import jax
import numpy as np

from emojax import tasks, uncertainty
from emojax.data.store.stored import Store
from emojax.engine import optimisation
from emojax.engine.checkpoint import CheckpointError
from emojax.evaluation import detection
from emojax.evaluation.context import FIT_SPLIT
from emojax.evaluation.frames import labelled, pick, valid
from emojax.experiments import protocol
from emojax.faces import align
from emojax.runtime import workdir
from emojax.trained import arrays, guarantees
from emojax.trained import (
  card as model_card,
)
from emojax.trained import (
  folder as release,
)
from emojax.trained import (
  model as pretrained,
)
from emojax.trained import (
  run as runs,
)
from emojax.trained.description import KINDS
from emojax.uncertainty import prior as priors
from emojax.uncertainty import temperature
from emojax.uncertainty.prior import Prior

SHARES = (0.01, 0.05, 0.1, 0.2)
DECISION = 0.5
LITTER_SECONDS = 3600
COMPARED = 4  # clips on which the model must agree with the run
# Largest difference of probabilities: rounding, which is coarser on another
# backend (TF32, other algorithms) and in bfloat16.
SAME, OTHER = 1e-3, 0.05
CROPS = {'fer2013': align.FER2013}
HALF = 0.02  # kernels rounded to eleven bits


UNCHECKED = (
  "exported without validation data: not compared with the run's predictions"
)
UNKNOWN_PRIOR = (
  'probabilities keep the bias of the class weights in training, which are not '
  'known: the run is older than its priors.json, and its training data were not '
  'at hand or have changed'
)


class ExportError(ValueError):
  """The export cannot be written; the message says what to do."""


@dataclasses.dataclass(frozen=True)
class Calibration:
  """What is fitted on the run's validation set.

  Attributes:
    temperatures: Task -> temperatures by member (nested lists), or None where
      they cannot be fitted; empty without validation data.
    uncertainty: Task or 'mean' -> 'total' or 'epistemic' -> share of the
      validation frames that are more uncertain -> value.
    notes: Why something is missing.
  """

  temperatures: dict[str, Any]
  uncertainty: dict[str, dict[str, dict[str, float]]]
  notes: tuple[str, ...] = ()


def calibrate(
  schema: tasks.Schema, logits: dict[str, np.ndarray], clips
) -> Calibration:
  """Fits temperatures and thresholds.

  Args:
    schema: The tasks.
    logits: Task -> logits [M, N, L, outputs] of the chosen members for `clips`.
    clips: Clips with the labels of the run's validation set.
  """
  fitted, notes = {}, []
  for task in schema:
    if task.kind == 'binned':
      continue  # scored by their expectation; see `evaluation.baselines`
    try:
      fitted[task.name] = _temperatures(task, logits[task.name], clips)
    except ValueError as error:
      fitted[task.name] = None
      notes.append(f'no temperatures of {task.name}: {error}')
  index = valid(clips)
  doubt = detection.frame_uncertainty(schema, logits, index)
  limits = {
    name: {kind: _quantiles(getattr(values, kind)) for kind in KINDS}
    for name, values in doubt.items()
  }
  return Calibration(fitted, limits, tuple(notes))


def _temperatures(task: tasks.Task, logits: np.ndarray, clips) -> list[Any]:
  frames = labelled(task, clips)
  if frames is None:
    raise ValueError('no validation frame has a label')
  return [
    temperature.fit(task, pick(one, frames.index), frames.target).tolist()
    for one in logits
  ]


def _quantiles(values: np.ndarray) -> dict[str, float]:
  return {str(share): float(np.quantile(values, 1 - share)) for share in SHARES}


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
  bins = {task.bins for task in run.schema if task.kind == 'binned'}
  kind = config.get('loss', {}).get('bin_values', 'ends')
  values = tasks.bin_values(bins.pop(), kind).tolist() if bins else None
  return {
    'format': release.FORMAT,
    'generation': generation,
    'members': list(members),
    'model': _network(net),
    'schema': [task.to_json() for task in run.schema],
    'bin_values': values,
    'preprocessing': {
      'image_size': data.image_size,
      'channels': net.channels,
      'colours': 'RGB, uint8; grey images are repeated'
      if net.channels == 3 and not _grey(data)
      else 'grey, uint8; of RGB the luma of ITU-R BT.601',
      **({'grey': True} if net.channels == 3 and _grey(data) else {}),
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
    },
    'notes': [*run.stack(generation).notes, *calibration.notes],
    'paper': run.experiment().PAPER,
    'trained_on': data.name if data.name == 'embedded' else _data_name(run),
    'config': _shareable(config),
    'versions': {**workdir.environment(), 'trained_with': run.environment},
  }


def _shareable(config) -> dict[str, Any]:
  """The settings; of files and folders only names, not where they lay."""
  found = config.to_dict()
  for part, key in (
    ('data', 'path'),
    ('data', 'ood_path'),
    ('model', 'pretrained'),
  ):
    if isinstance(value := found.get(part, {}).get(key), str):
      names = [pathlib.PurePath(one).name for one in value.split(',')]
      found[part][key] = ','.join(names)
  return found


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


def _grey(data) -> bool:
  """Whether the images of the training data have no colours."""
  path = data.get('path', '') if data.name == 'prepared' else ''
  # Without its data a run is exported with --without-validation only.
  return (
    bool(path)
    and pathlib.Path(path).is_dir()
    and (Store(path).spec.channels == 1)
  )


def _data_name(run: runs.TrainedRun) -> str:
  """Name of a prepared data set: its own, or its folder's."""
  results = run.results() or {}
  return results.get('dataset') or pathlib.Path(run.config.data.path).name


def export(
  run: runs.TrainedRun,
  out: str | os.PathLike,
  generation: str | None = None,
  members: Sequence[int] | None = None,
  validate: bool = True,
  half: bool = False,
  crop: str | None = None,
) -> pathlib.Path:
  """Writes a release of some members of a generation.

  Args:
    run: The run.
    out: Folder to write; must not exist, or be empty.
    generation: Its name; the last finished one if None.
    members: Their numbers; all if None.
    validate: Fit temperatures and thresholds; needs the run's data.
    half: Keep kernels in float16; predictions are still made in float32.
    crop: Name of the rule, of `CROPS`, by which the faces of the training data
      were cut; `emojax predict` cuts faces alike.

  Returns:
    `out`.

  Raises:
    ExportError: If `out` is in use, or the model would not predict what the
      run has predicted.
    RunError: If the run lacks what is asked for.
  """
  out = pathlib.Path(out)
  _check_free(out)
  chosen = run.choose_generations(generation and [generation])[-1]
  run = run.select([chosen])
  numbers = run.choose_members(members)
  weights = run.weights(chosen, numbers)
  if half:
    weights = _halved(weights)
  prior, notes = _prior(run, chosen)
  calibration = Calibration({}, {}, (UNCHECKED,))
  if validate:
    sets = run.held_out()
    written = _written(run, chosen, numbers, sets)
    logits = written.get(FIT_SPLIT)
    if logits is None:
      logits = _predicted(run, chosen, weights, sets[FIT_SPLIT])
    corrected = priors.correct(run.schema, logits, prior)
    calibration = calibrate(run.schema, corrected, sets[FIT_SPLIT])
  calibration = dataclasses.replace(
    calibration, notes=(*notes, *calibration.notes)
  )
  metadata = describe(run, chosen, numbers, calibration, prior, crop)
  if validate:
    bins = metadata['bin_values'] and np.float32(metadata['bin_values'])
    metadata[guarantees.KEY] = guarantees.fit(
      run.schema, corrected, sets[FIT_SPLIT], bins
    )
  files = _files(run, metadata, weights, half)
  if validate:
    key = FIT_SPLIT if FIT_SPLIT in written else next(iter(written))
    model = pretrained.Model(metadata, weights)
    _compare(run, model, written[key], sets[key], half)
  _write(out, files)
  return out


def _prior(
  run: runs.TrainedRun, generation: str
) -> tuple[Prior, tuple[str, ...]]:
  """(log weights of a generation, why there are none)."""
  try:
    found = run.priors()[generation]
  except runs.UnknownPriorError:
    return {}, (UNKNOWN_PRIOR,)
  return (found if priors.changes(found) else {}), ()


def _halved(weights):
  """Weights as they are after kernels have been kept in float16."""
  flat = flax.traverse_util.flatten_dict(weights, sep='/')
  return flax.traverse_util.unflatten_dict(
    {key: arrays.single(key, arrays.half(key, a)) for key, a in flat.items()},
    sep='/',
  )


def _files(
  run: runs.TrainedRun, metadata, weights, half: bool
) -> dict[str, bytes]:
  """Contents of the files of a release; completes and checks the metadata."""
  flat = release.flat_names(
    {**weights['model_state'], 'params': weights['params']}
  )
  kept = {k: arrays.half(k, a) for k, a in flat.items()} if half else flat
  data = release.encode_weights(kept, metadata)
  card = model_card.render(
    metadata, run.results(), sum(a.size for a in flat.values())
  )
  metadata['files'] = {release.WEIGHTS: hashlib.sha256(data).hexdigest()}
  try:
    release.check_metadata(metadata)
    text = json.dumps(metadata, indent=1, allow_nan=False)
  except ValueError as error:
    raise ExportError(f'{run.path} cannot be exported: {error}') from error
  return {
    release.WEIGHTS: data,
    release.METADATA: (text + '\n').encode(),
    release.CARD: card.encode(),
  }


def _written(
  run: runs.TrainedRun, generation: str, members: Sequence[int], sets
) -> dict[str, dict[str, np.ndarray]]:
  """What the run itself has predicted for the sets that are at hand."""
  stored = run.predictions(generation).logits
  found = {
    key: {name: array[list(members)] for name, array in stored[key].items()}
    for key in sets
    if key in stored
  }
  for logits in found.values():
    _check_finite(run, generation, logits)
  return found


def _predicted(
  run: runs.TrainedRun, generation: str, weights, clips
) -> dict[str, np.ndarray]:
  """Logits for a validation set that the run itself has not predicted."""
  members = len(jax.tree.leaves(weights['params'])[0])
  config = run.config.copy_and_resolve_references()
  config.runtime.member_devices = 0  # those that are here
  config.runtime.batch_devices = 1
  trainer = run.trainer(generation, members, config)
  found = trainer.predict(*trainer.place_weights(weights), clips)
  logits = {task.name: found[task.name] for task in run.schema}
  _check_finite(run, generation, logits)
  return logits


def _check_finite(run: runs.TrainedRun, generation: str, logits):
  for name, array in logits.items():
    if not np.isfinite(array).all():
      raise ExportError(
        f'the predictions of {name} by {generation} in {run.path} are not '
        'finite: the network has diverged, export another generation'
      )


def _compare(
  run: runs.TrainedRun, model: pretrained.Model, logits, clips, half: bool
):
  """Raises ExportError unless a model predicts some clips as the run has."""
  some = clips.take(np.arange(min(COMPARED, len(clips))))
  found = model.logits(some.image, some.audio)
  same = run.environment.get('backend') == jax.default_backend()
  exact = same and run.config.model.get('dtype', 'float32') == 'float32'
  tolerance = SAME if exact else OTHER
  tolerance = max(tolerance, HALF) if half else tolerance
  for task in model.schema:
    pair = found[task.name], logits[task.name][:, : len(some.image)]
    a, b = (uncertainty.probabilities(task, x) for x in pair)
    difference = np.abs(a - b)[:, some.frame_mask > 0].max(initial=0)
    if not difference <= tolerance:
      raise ExportError(
        f'the exported model does not predict {task.name} as {run.path} did: '
        f'probabilities of its validation clips differ by {difference:.2g}, '
        f'more than {tolerance:g}. The weights or the data have changed since '
        'the run was trained, so nothing was written'
      )


def _check_free(out: pathlib.Path):
  if out.exists() and (not out.is_dir() or any(out.iterdir())):
    raise ExportError(f'--out {out} exists already: choose another folder')


def _write(out: pathlib.Path, files: dict[str, bytes]):
  """Writes a folder that is there in whole or not at all."""
  out.parent.mkdir(parents=True, exist_ok=True)
  _sweep(out)
  # In a container every process may have the same number.
  unique = uuid.uuid4().hex
  temporary = out.with_name(f'.{out.name}.{unique}{workdir.UNFINISHED}')
  temporary.mkdir()
  try:
    for name, data in files.items():
      with open(temporary / name, 'wb') as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, out)  # an empty folder is replaced, no other
  finally:
    shutil.rmtree(temporary, ignore_errors=True)


def _sweep(out: pathlib.Path):
  """Removes what killed exports to the same folder were writing.

  Writing takes seconds; what is younger may be of an export at work.
  """
  for path in out.parent.glob(
    f'.{glob.escape(out.name)}.*{workdir.UNFINISHED}'
  ):
    if time.time() - path.stat().st_mtime > LITTER_SECONDS:
      shutil.rmtree(path, ignore_errors=True)


def parser() -> argparse.ArgumentParser:
  """The command line."""
  made = argparse.ArgumentParser(
    prog='python -m emojax.export',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  add = made.add_argument
  add('--workdir', required=True, metavar='RUN', help='folder of the run')
  add('--out', required=True, metavar='DIR', help='folder to write')
  add('--generation', metavar='Stu1', help='the last finished one without it')
  add(
    '--members',
    metavar='0,2',
    type=lambda text: [int(part) for part in text.split(',')],
    help='all without it',
  )
  add(
    '--without-validation',
    action='store_true',
    help="export without temperatures and thresholds, where the run's data "
    'are not at hand',
  )
  add(
    '--half',
    action='store_true',
    help='kernels in float16: half the size, the same answers up to rounding',
  )
  add(
    '--crop-rule',
    choices=sorted(CROPS),
    help='how the faces of the training data were cut, so that `emojax predict` '
    'cuts faces alike (FER2013 and FER+: fer2013)',
  )
  return made


def main(arguments: Sequence[str]) -> int:
  """Returns the exit code; see the module's docstring."""
  found = parser().parse_args(arguments)
  try:
    run = runs.open_run(found.workdir)
    validate = not found.without_validation
    chosen = found.generation, found.members
    half, crop = found.half, found.crop_rule
    out = export(run, found.out, *chosen, validate, half, crop)
  except (CheckpointError, OSError, ValueError) as error:
    print(f'error: {error}', file=sys.stderr)
    return 1
  print(f'{out} is ready; {out / release.CARD} describes it')
  return 0


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
