"""Frames, the faces in them and what a model says, as rows of the table."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from emojax import tasks
from emojax.answers import columns
from emojax.answers.columns import Layout
from emojax.faces import quality


class Face(NamedTuple):
  """A face in a frame.

  Attributes:
    number: Its place among the faces of the frame, with those left out.
    track: Its number over the frames of a video; NaN for pictures.
    box: x, y, w, h in pixels; the whole picture where it was a crop already.
    score: The detector's; NaN without one.
    sharpness: Of its crop.
    profile: How far it is turned away, NaN without landmarks.
  """

  number: int
  track: float
  box: np.ndarray
  score: float
  sharpness: float
  profile: float


class Seen(NamedTuple):
  """A frame and the faces in it."""

  file: str
  frame: int
  time: float
  faces: tuple[Face, ...]


@dataclasses.dataclass(frozen=True)
class Limits:
  """From where on an answer is not to be trusted.

  Attributes:
    unsure: Total uncertainty (mean over the tasks) above which it is unsure.
    foreign: Epistemic uncertainty above which a face is foreign.
    sharpness: Sharpness below which a face is blurred.
    face: Mean side of the box, in pixels, below which it is small.
    profile: How far a face may be turned away.
  """

  unsure: float
  foreign: float
  sharpness: float
  face: float
  profile: float


def block(
  layout: Layout, model, seen: Sequence[Seen], output, limits: Limits
) -> dict[str, np.ndarray]:
  """The rows of some frames.

  Args:
    layout: The columns.
    model: The loaded model.
    seen: The frames.
    output: What the model says about all faces of them, in order; None if
      there are none.
    limits: From where on answers are unsure.

  Returns:
    Name of a column -> its rows.
  """
  where = [(s, f) for s in seen for f in (s.faces or (None,))]
  made = layout.empty(len(where))
  made['file'][:] = [s.file for s, _ in where]
  made['frame'][:] = [s.frame for s, _ in where]
  made['time'][:] = [s.time for s, _ in where]
  found = np.array([face is not None for _, face in where], bool)
  faces = [face for _, face in where if face is not None]
  if faces:
    said = _faces(faces) | _answers(layout, model, output)
    said |= _judged(faces, output, limits)
    for name, values in said.items():
      made[name][found] = values
  return made


def pick(output, index):
  """What a model says of some of the faces only."""
  return output._replace(
    probabilities={k: v[index] for k, v in output.probabilities.items()},
    members={k: v[:, index] for k, v in output.members.items()},
    uncertainty={
      k: type(v)(*(part[index] for part in v))
      for k, v in output.uncertainty.items()
    },
    values={k: v[index] for k, v in output.values.items()},
    learned=None if output.learned is None else output.learned[index],
  )


def _faces(faces: Sequence[Face]) -> dict[str, Any]:
  boxes = np.array([face.box for face in faces], np.float32)
  made = {name: boxes[:, i] for i, name in enumerate('xywh')}
  made |= {
    name: [getattr(face, name) for face in faces]
    for name in ('track', 'score', 'sharpness')
  }
  return made | {'face': [face.number for face in faces]}


def _answers(layout: Layout, model, output) -> dict[str, Any]:
  made = {}
  for task in layout.schema:
    if task.kind == 'binned':
      made |= _intervals(layout, task, model, output)
      continue
    probs, members = output.probabilities[task.name], output.members[task.name]
    for i, label in enumerate(task.labels):
      name = layout.label(task, label)
      made[name] = probs[:, i]
      made[f'{name}_sd'] = members[..., i].std(0)
  for name, doubt in output.uncertainty.items():
    if name != 'mean' or len(layout.schema) > 1:
      made |= {f'{name}_{k}': v for k, v in doubt._asdict().items()}
  return made | _decisions(layout, model, output)


def _intervals(layout: Layout, task, model, output) -> dict[str, Any]:
  """Expectation and quantiles of valence and arousal."""
  made = {}
  for i, label in enumerate(task.labels):
    name = layout.label(task, label)
    probs = output.probabilities[task.name][:, i]
    low, high = quantiles(probs, model.bin_values, columns.MASS)
    made |= {name: output.values[label], f'{name}_low': low}
    made[f'{name}_high'] = high
  return made


def quantiles(
  probs: np.ndarray, values: np.ndarray, masses: Sequence[float]
) -> list[np.ndarray]:
  """Values below or at which a share of the probability lies.

  Args:
    probs: [N, K], NaN where there is no answer.
    values: Of the bins, ascending, [K].
    masses: Shares in (0, 1).

  Returns:
    For each share [N]: the first value whose cumulative probability reaches
    it; NaN where there is no answer.
  """
  total = np.cumsum(probs, -1, dtype=np.float64)
  share = total / total[:, -1:]
  finite = np.isfinite(share).all(-1)
  made = []
  for mass in masses:
    first = (share >= mass - 1e-9).argmax(-1)
    made.append(np.where(finite, values[first], np.nan).astype(np.float32))
  return made


def _decisions(layout: Layout, model, output) -> dict[str, Any]:
  """Answers and answer sets, '' where the network's outputs overflow."""
  finite = _finite(layout.schema, output)
  made: dict[str, Any] = {}
  sets = {}
  if layout.sets is not None and finite.any():
    # Sets are of finite probabilities.
    sets = model.sets(pick(output, finite), layout.sets.coverage)
  limits = model.metadata['thresholds']['decision']
  for task in layout.schema:
    if task.kind == 'binned':
      continue
    probs = output.probabilities[task.name]
    if task.kind == 'categorical' and layout.favour_rare:
      probs = model.favoured(task, probs, layout.favour_rare)
    chosen = _chosen(task, probs, limits)
    made[layout.answer(task)] = _joined(task, chosen & finite[:, None], '+')
    if sets and layout.has_set(task):
      held = np.zeros((len(finite), len(task.labels)), bool)
      held[finite] = sets[task.name]
      made[layout.answer(task, 'answer_set')] = _joined(task, held, '|')
  return made


def _chosen(task: tasks.Task, probs, limits: Mapping) -> np.ndarray:
  """Which labels are the answer, bool [N, labels]; as `Model.answers`."""
  if task.kind == 'categorical':
    return np.arange(len(task.labels)) == probs.argmax(-1)[:, None]
  ends = np.array([limits[task.name][name] for name in task.labels])
  return probs > ends.astype(probs.dtype)


def _joined(task: tasks.Task, chosen: np.ndarray, between: str) -> list[str]:
  labels = np.array([columns.written(task, x) for x in task.labels], object)
  return [between.join(labels[row]) for row in chosen]


def _finite(schema: tasks.Schema, output) -> np.ndarray:
  """Faces whose answers are numbers in all tasks, bool [N]."""
  found = (output.probabilities[task.name] for task in schema)
  return np.logical_and.reduce(
    [np.isfinite(p).reshape(len(p), -1).all(-1) for p in found]
  )


def _judged(faces: Sequence[Face], output, limits: Limits) -> dict[str, Any]:
  """The columns `unsure` and `reason`."""
  doubt = output.uncertainty['mean']
  said = {
    'blurred': [f.sharpness < limits.sharpness for f in faces],
    'small': [quality.size(f.box) < limits.face for f in faces],
    'profile': [f.profile > limits.profile for f in faces],
    'foreign': ~(np.asarray(doubt.epistemic) <= limits.foreign),
  }
  reasons = [
    ';'.join(name for name in columns.REASONS if said[name][i])
    for i in range(len(faces))
  ]
  unsure = ~(np.asarray(doubt.total) <= limits.unsure)  # NaN, too
  return {'reason': reasons, 'unsure': unsure | np.array(reasons, bool)}
