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
# Beyond these, few labels or an untrained network were fitted, and no certainty.
LIMITS = 0.1, 10.0


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
      notes += _meaningless(task, fitted[task.name])
    except ValueError as error:
      fitted[task.name] = None
      notes.append(f'{NO_TEMPERATURES}{task.name}: {error}')
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


def _meaningless(task: tasks.Task, found: list[Any]) -> list[str]:
  """Says which action units have temperatures that mean nothing.

  Raises:
    ValueError: If those of classes do, which `predict` would make of them all sure,
      or all equal.
  """
  low, high = LIMITS
  beyond = [
    (member, label, t)
    for member, every in enumerate(found)
    for label, t in zip(task.labels, np.ravel(every))
    if not low <= t <= high
  ]
  if not beyond:
    return []
  because = (
    f'beyond {low:g} to {high:g}: too few labels, or hardly learned ones'
  )
  if task.kind == 'categorical':
    member, _, t = beyond[0]
    raise ValueError(f'that of member {member} would be {t:.3g}, {because}')
  units = ', '.join(dict.fromkeys(label for _, label, _ in beyond))
  return [f'{NO_TEMPERATURES}{units} that mean something: {because}']


def _quantiles(values: np.ndarray) -> dict[str, float]:
  return {str(share): float(np.quantile(values, 1 - share)) for share in SHARES}
