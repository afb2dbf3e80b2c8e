"""Uncertainty of every frame, and what it says about foreign frames."""

from collections.abc import Iterator, Mapping

import numpy as np

from emojax import tasks, uncertainty
from emojax.evaluation.frames import pick
from emojax.metrics import ood
from emojax.uncertainty import Uncertainty

CHUNK = 32768  # frames whose probabilities are in memory at a time
KINDS = Uncertainty._fields
MEAN = 'mean'  # the mean over tasks, beside the tasks' names


def frame_uncertainty(
  schema: tasks.Schema, logits: Mapping[str, np.ndarray], index: np.ndarray
) -> dict[str, Uncertainty]:
  """Uncertainty of frames by task, and their mean over the tasks.

  Args:
    schema: The tasks.
    logits: Task -> [S, N, L, C].
    index: Positions [F] of the frames in [N * L].

  Returns:
    Task name or 'mean' -> uncertainties float32 [F].
  """
  names = [task.name for task in schema]
  parts = {name: [] for name in (*names, MEAN)}
  for start in range(0, len(index), CHUNK):
    where = index[start : start + CHUNK]
    probs = {
      task.name: uncertainty.probabilities(task, pick(logits[task.name], where))
      for task in schema
    }
    mean, tasks_ = uncertainty.multitask_uncertainty(probs, schema)
    for name, part in (*tasks_.items(), (MEAN, mean)):
      parts[name].append(part)
  return {
    name: Uncertainty(*map(np.concatenate, zip(*part)))
    for name, part in parts.items()
  }


def epistemic_without(
  schema: tasks.Schema, logits: Mapping[str, np.ndarray], index: np.ndarray
) -> list[np.ndarray]:
  """The ensemble's epistemic uncertainty without each member in turn.

  Args:
    schema: The tasks.
    logits: Task -> [M, N, L, C].
    index: Positions [F] of the frames.

  Returns:
    M arrays [F], mean over the tasks; [] for two members or one, of which none
    is left to disagree with another.
  """
  members = np.arange(len(next(iter(logits.values()))))
  found = []
  for member in members if len(members) > 2 else ():
    rest = {name: x[members != member] for name, x in logits.items()}
    found.append(frame_uncertainty(schema, rest, index)[MEAN].epistemic)
  return found


def by_member(logits: Mapping[str, np.ndarray]) -> Iterator[dict]:
  """Yields the logits of each member: [1, N, L, C], or [S, N, L, C] passes."""
  for member in range(len(next(iter(logits.values())))):
    yield {
      name: value[member] if value.ndim == 5 else value[member][None]
      for name, value in logits.items()
    }


def summary(frames: Mapping[str, Uncertainty]) -> dict[str, dict[str, float]]:
  """Mean total, aleatoric and epistemic uncertainty of each task."""
  return {
    name: {kind: float(np.mean(getattr(u, kind))) for kind in KINDS}
    for name, u in frames.items()
  }


def aurocs(
  inside: Mapping[str, Uncertainty], outside: Mapping[str, Uncertainty]
) -> tuple[dict[str, float], ood.Detection]:
  """AUROC of an ensemble's uncertainties, and the ROC of the paper's score.

  Returns:
    ({'epistemic', 'aleatoric', 'total' of the mean over tasks, and
    'epistemic/<task>'}, curve of the mean epistemic uncertainty).
  """
  found = {
    kind: ood.detect(getattr(inside[MEAN], kind), getattr(outside[MEAN], kind))
    for kind in KINDS
  }
  values = {kind: detection.auroc for kind, detection in found.items()}
  for name in inside:
    if name != MEAN:
      pair = inside[name].epistemic, outside[name].epistemic
      values[f'epistemic/{name}'] = ood.detect(*pair).auroc
  return values, found['epistemic']


def member_scores(
  schema: tasks.Schema,
  kind: str,
  logits: Mapping[str, np.ndarray],
  index: np.ndarray,
) -> list[np.ndarray]:
  """Every member's own uncertainty of frames, mean over the tasks.

  Args:
    schema: The tasks.
    kind: 'total' or 'epistemic' (which needs stochastic passes).
    logits: By task, [M, N, L, C] or [M, S, N, L, C].
    index: Positions [F] of the frames.

  Returns:
    M arrays [F].
  """
  return [
    getattr(frame_uncertainty(schema, one, index)[MEAN], kind)
    for one in by_member(logits)
  ]


def mean_auroc(inside: list[np.ndarray], outside: list[np.ndarray]) -> float:
  """Mean over members of the AUROC of `member_scores`."""
  pairs = zip(inside, outside, strict=True)
  return float(np.mean([ood.detect(a, b).auroc for a, b in pairs]))
