"""Writes some members of a finished run as a model that others load."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import flax.traverse_util
import jax
import numpy as np

from emojax import uncertainty
from emojax.evaluation.context import FIT_SPLIT
from emojax.trained import arrays, describing, forms, guarantees, shipped
from emojax.trained import card as model_card
from emojax.trained import folder as release
from emojax.trained import model as pretrained
from emojax.trained import run as runs
from emojax.trained.calibration import Calibration, calibrate
from emojax.trained.writing import ExportError, check_free, write
from emojax.uncertainty import prior as priors
from emojax.uncertainty.prior import Prior

COMPARED = 4  # clips on which the model must agree with the run
# Largest difference of probabilities: rounding, which is coarser on another
# backend (TF32, other algorithms) and in bfloat16.
SAME, OTHER = 1e-3, 0.05
HALF = 0.02  # kernels rounded to eleven bits

UNCHECKED = (
  "exported without validation data: not compared with the run's predictions"
)
UNKNOWN_PRIOR = (
  'probabilities keep the bias of the class weights in training, which are not '
  'known: the run is older than its priors.json, and its training data were not '
  'at hand or have changed'
)


class Page(Protocol):
  """What makes a page of a model in ONNX's form (`emojax.web.folder.Page`)."""

  def check(self, metadata: Mapping[str, Any]) -> None:
    """Raises ExportError for a model that the page cannot ask."""

  def files(self, metadata: Mapping[str, Any], onnx: bytes) -> dict[str, bytes]:
    """Contents by path, without the model's."""
    ...


def export(
  run: runs.TrainedRun,
  out: str | os.PathLike,
  generation: str | None = None,
  members: Sequence[int] | None = None,
  validate: bool = True,
  half: bool = False,
  crop: str | None = None,
  formats: Sequence[str] = ('safetensors',),
  tolerance: float = forms.TOLERANCE,
  page: Page | None = None,
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
    formats: Some of `forms.FORMATS`.
    tolerance: Largest difference between the model in one form and another.
    page: A page for browsers that is written, too.

  Returns:
    `out`.

  Raises:
    ExportError: If `out` is in use, or the model would not predict what the
      run has predicted.
    DifferentError: If a form says something else than the model.
    RunError: If the run lacks what is asked for.
  """
  out = pathlib.Path(out)
  check_free(out)
  _check_formats(formats, page)
  chosen = run.choose_generations(generation and [generation])[-1]
  run = run.select([chosen])
  numbers = run.choose_members(members)
  weights = run.weights(chosen, numbers)
  weights = _halved(weights) if half else weights
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
  metadata = describing.describe(run, chosen, numbers, calibration, prior, crop)
  if validate:
    metadata[guarantees.KEY] = guarantees.fit(
      run.schema, corrected, sets[FIT_SPLIT], run.bin_values()
    )
  if page is not None:
    page.check(metadata)
  files, some = _files(run, metadata, weights, half), None
  if validate:
    key = FIT_SPLIT if FIT_SPLIT in written else next(iter(written))
    model = pretrained.Model(metadata, weights)
    _compare(run, model, written[key], sets[key], half)
    some = sets[key]
  if 'safetensors' not in formats:
    files = {release.CARD: files[release.CARD]}
  files |= _formed(formats, metadata, weights, some, tolerance, page)
  write(out, files)
  return out


def convert(
  source: str | os.PathLike,
  out: str | os.PathLike,
  formats: Sequence[str],
  tolerance: float = forms.TOLERANCE,
  page: Page | None = None,
) -> pathlib.Path:
  """Writes an exported model in other forms.

  It is compared on faces of the embedded data set, as there is no run.

  Args:
    source: Name of a model of this package, folder of an exported one, or one of
      the hub, 'hf://user/name'.
    out: Folder to write; must not exist, or be empty.
    formats: 'onnx', 'jax' or both; with a page also none.
    tolerance: As for `export`.
    page: As for `export`.

  Returns:
    `out`.

  Raises:
    ExportError: If `out` is in use, or there is nothing to convert.
    ModelError: If the model cannot be loaded.
    DifferentError: As `export`.
  """
  out = pathlib.Path(out)
  check_free(out)
  _check_formats(formats, page)
  if 'safetensors' in formats:
    raise ExportError(
      '--format safetensors: the model has this form already; name onnx, jax or '
      'web'
    )
  folder = shipped.find(os.fspath(source))
  if not os.path.lexists(folder):
    raise release.ModelError(shipped.unknown(os.fspath(source)))
  metadata = release.read_metadata(folder)
  if page is not None:
    page.check(metadata)
  weights = release.read_weights(folder, metadata)
  card = release.read_card(folder)
  files = {} if card is None else {release.CARD: card}
  files |= _formed(formats, metadata, weights, None, tolerance, page)
  write(out, files)
  return out


def _check_formats(formats: Sequence[str], page: Page | None):
  known = ', '.join(forms.FORMATS)
  for name in formats:
    if name not in forms.FORMATS:
      raise ExportError(f'--format {name!r}: expected some of {known}, web')
  if not (formats or page) or len(set(formats)) < len(formats):
    raise ExportError(f'--format: expected some of {known}, web, each once')


def _formed(
  formats, metadata, weights, clips, tolerance, page: Page | None
) -> dict[str, bytes]:
  """The files of all forms that are asked for but weights, and of a page."""
  if page is None:
    return forms.encode(formats, metadata, weights, clips, tolerance)
  every = dict.fromkeys([*formats, 'onnx'])
  made = forms.encode(every, metadata, weights, clips, tolerance)
  return made | page.files(metadata, made[forms.ONNX])


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
  flat: dict[str, Any] = flax.traverse_util.flatten_dict(weights, sep='/')
  with np.errstate(over='ignore'):  # looked for below
    kept = {k: arrays.single(k, arrays.half(k, a)) for k, a in flat.items()}
  for name, array in kept.items():
    if not np.isfinite(array).all():
      raise ExportError(
        f'{name} holds numbers that float16 cannot (above 65504): export '
        'without --half'
      )
  return flax.traverse_util.unflatten_dict(kept, sep='/')


def _files(
  run: runs.TrainedRun, metadata, weights, half: bool
) -> dict[str, bytes]:
  """Contents of the files of a release; completes and checks the metadata."""
  flat = release.flat_names(
    {**weights['model_state'], 'params': weights['params']}
  )
  kept = {k: arrays.half(k, a) for k, a in flat.items()} if half else flat
  size = sum(array.size for array in flat.values())
  card = model_card.render(metadata, run.results(), size)
  try:
    return release.contents(kept, metadata, card)
  except ValueError as error:
    raise ExportError(f'{run.path} cannot be exported: {error}') from error


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
