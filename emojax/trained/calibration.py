"""What an export fits on the run's validation set."""

import dataclasses
from typing import Any

import numpy as np

from emojax import tasks
from emojax.evaluation import detection
from emojax.evaluation.frames import labelled, pick, valid
from emojax.trained.description import KINDS
from emojax.uncertainty import temperature

SHARES = (0.01, 0.05, 0.1, 0.2)
NO_TEMPERATURES = 'no temperatures of '  # how such a note begins


@dataclasses.dataclass(frozen=True)
class Calibration:
  """What is fitted on frames that were not trained on.

  Attributes:
    temperatures: Task -> temperatures by member (nested lists), or None where
      they cannot be fitted; empty without validation data.
    uncertainty: Task or 'mean' -> 'total', 'aleatoric' or 'epistemic' -> share
      of the validation frames that are more uncertain -> value.
    notes: Why something is missing.
    prevalence: Task with classes -> class -> its share of the labels.
  """

  temperatures: dict[str, Any]
  uncertainty: dict[str, dict[str, dict[str, float]]]
  notes: tuple[str, ...] = ()
  prevalence: dict[str, dict[str, float]] = dataclasses.field(
    default_factory=dict
  )


def calibrate(
  schema: tasks.Schema, logits: dict[str, np.ndarray], clips
) -> Calibration:
  """Fits temperatures and thresholds.

  Args:
    schema: The tasks.
    logits: Task -> logits [M, N, L, outputs] of the chosen members for `clips`.
    clips: Clips with labels: the run's validation set, or other ones.
  """
  fitted, notes = {}, []
  for task in schema:
    if task.kind == 'binned':
      continue  # scored by their expectation; see `evaluation.baselines`
    try:
      fitted[task.name] = _temperatures(task, logits[task.name], clips)
    except ValueError as error:
      fitted[task.name] = None
      notes.append(f'{NO_TEMPERATURES}{task.name}: {error}')
      continue
    if beyond := _beyond(task, fitted[task.name]):
      notes.append(f'{NO_TEMPERATURES}{beyond}')
      if (
        task.kind == 'categorical'
      ):  # `predict` would make all sure, or all equal
        fitted[task.name] = None
  index = valid(clips)
  doubt = detection.frame_uncertainty(schema, logits, index)
  limits = {
    name: {kind: _quantiles(getattr(values, kind)) for kind in KINDS}
    for name, values in doubt.items()
  }
  return Calibration(fitted, limits, tuple(notes), _prevalence(schema, clips))


def _prevalence(schema: tasks.Schema, clips) -> dict[str, dict[str, float]]:
  found = {}
  for task in schema:
    frames = labelled(task, clips) if task.kind == 'categorical' else None
    if frames is not None:
      shares = np.asarray(frames.target.value, np.float64).mean(0)
      labels = zip(task.labels, map(float, shares), strict=True)
      found[task.name] = dict(labels)
  return found


def _temperatures(task: tasks.Task, logits: np.ndarray, clips) -> list[Any]:
  frames = labelled(task, clips)
  if frames is None:
    raise ValueError('no validation frame has a label')
  return [
    temperature.fit(task, pick(one, frames.index), frames.target).tolist()
    for one in logits
  ]


def _beyond(task: tasks.Task, found: list[Any]) -> str:
  """Says which temperatures mean nothing; '' if all do."""
  low, high = temperature.MEANINGFUL
  names = task.labels if task.kind == 'binary' else (task.name,)
  beyond = dict.fromkeys(
    label
    for every in found
    for label, t in zip(names, np.ravel(every), strict=True)
    if not low <= t <= high
  )
  if not beyond:
    return ''
  return (
    f'{", ".join(beyond)} that mean something: beyond {low:g} to {high:g}, as of too '
    'few labels, or of a network that has hardly learned'
  )


def _quantiles(values: np.ndarray) -> dict[str, float]:
  return {str(share): float(np.quantile(values, 1 - share)) for share in SHARES}
