"""Figure 1: a frame, what the ensemble says about it, and how sure it is."""

import dataclasses

import numpy as np

from emojax import tasks, uncertainty
from emojax.evaluation import detection
from emojax.evaluation.frames import valid
from emojax.evaluation.predictions import Predictions
from emojax.report import style


@dataclasses.dataclass(frozen=True)
class Row:
  """One label of one frame.

  Attributes:
    name: Name of the label.
    text: What is predicted.
    positive: Whether it is a present action unit.
    total: Normalised entropy of the ensemble's mean probability.
    aleatoric: Mean normalised entropy of its members.
    true: Normalised entropy of the known posterior, or None.
  """

  name: str
  text: str
  positive: bool
  total: float
  aleatoric: float
  true: float | None


@dataclasses.dataclass(frozen=True)
class Example:
  """A frame with its rows."""

  image: np.ndarray
  title: str
  rows: list[Row]


def _answers(
  task: tasks.Task, probs: np.ndarray, bin_values
) -> list[tuple[str, str, bool]]:
  """(label, text, positive) by uncertainty bar of a task; probs has no S."""
  if task.kind == 'categorical':
    best = int(probs.argmax())
    text = f'{task.labels[best]} ({probs[best]:.0%})'
    return [('expression', text, False)]
  if task.kind == 'binned':
    values = probs @ bin_values
    return [(n, f'{v:+.2f}', False) for n, v in zip(task.labels, values)]
  return [
    (name, f'{int(p > 0.5)} ({p:.0%})', bool(p > 0.5))
    for name, p in zip(task.labels, probs)
  ]


def _rows(task: tasks.Task, probs, truth, bin_values) -> list[Row]:
  """Rows of one frame: probs [S, ...], truth without a sample axis or None."""
  found = uncertainty.label_uncertainty(task, probs)
  true = None
  if truth is not None:
    true = np.atleast_1d(uncertainty.label_uncertainty(task, truth[None]).total)
  total, aleatoric = np.atleast_1d(found.total), np.atleast_1d(found.aleatoric)
  return [
    Row(*answer, total[i], aleatoric[i], None if true is None else true[i])
    for i, answer in enumerate(_answers(task, probs.mean(0), bin_values))
  ]


def choose(predictions: Predictions, split: str, clips, bin_values=None):
  """The most certain and the most uncertain frame of a split.

  Certainty is the mean over the tasks of the ensemble's total uncertainty.

  Returns:
    [Example, Example]; one if there is a single valid frame, [] without any.

  Raises:
    ValueError: if the clips are not those of the split.
  """
  schema, logits = predictions.schema, predictions.logits[split]
  found = logits[schema[0].name].shape[1:3]
  if found != clips.frame_mask.shape:
    raise ValueError(
      f'examples: clips of shape {clips.frame_mask.shape}, but the predictions '
      f'of {split!r} are {found}; hand over the clips of that split'
    )
  index = valid(clips)
  if not index.size:
    return []
  doubt = detection.frame_uncertainty(schema, logits, index)
  total = doubt[detection.MEAN].total
  if bin_values is None:
    bins = {task.bins for task in schema if task.kind == 'binned'}
    bin_values = tasks.bin_values(bins.pop()) if bins else None
  picks = {'most certain': total.argmin(), 'most uncertain': total.argmax()}
  if len(index) == 1:
    picks = {'only frame': 0}
  return [
    _example(schema, logits, clips, index[k], title, bin_values)
    for title, k in picks.items()
  ]


def _example(schema, logits, clips, position, title, bin_values) -> Example:
  """The frame at a position of [N * L]; no other clip's images are read."""
  n, frame = divmod(int(position), clips.frame_mask.shape[1])
  rows = []
  for task in schema:
    probs = uncertainty.probabilities(task, logits[task.name][:, n, frame])
    truth = clips.truth and clips.truth[task.name][n, frame]
    rows += _rows(task, probs, truth, bin_values)
  return Example(clips.take([n]).image[0, frame], title, rows)


def figure(examples: list[Example]):
  """Draws the frames with their labels and stacked uncertainty bars."""
  if not examples:
    return None
  height = 1.2 + 0.24 * len(examples[0].rows)
  fig, axes = style.grid(
    len(examples),
    2,
    width=4.3,
    height=max(2.4, height),
    width_ratios=[1, 1.5],
  )
  for (left, right), example in zip(axes, examples):
    image = example.image
    left.imshow(
      image.squeeze(-1) if image.shape[-1] == 1 else image, cmap='gray'
    )
    left.set_title(example.title)
    left.axis('off')
    _bars(right, example.rows)
  axes[-1][1].set_xlabel(
    'normalised entropy (0: certain, 1: all answers equally likely)'
  )
  handles, labels = axes[0][1].get_legend_handles_labels()
  fig.legend(handles, labels, loc='outside lower center', ncols=len(labels))
  return fig


def _bars(axis, rows: list[Row]):
  places = np.arange(len(rows))
  aleatoric = np.array([row.aleatoric for row in rows])
  total = np.array([row.total for row in rows])
  axis.barh(places, aleatoric, color=style.SINGLE, label='aleatoric')
  axis.barh(
    places,
    np.maximum(total - aleatoric, 0),
    left=aleatoric,
    color=style.ENSEMBLE,
    label='epistemic',
  )
  if all(row.true is not None for row in rows):
    true = [row.true for row in rows]
    axis.plot(
      true,
      places,
      '|',
      color='k',
      ms=11,
      mew=2,
      label='entropy of the true posterior',
    )
  axis.set_yticks(places, [f'{row.name}   {row.text}' for row in rows])
  for tick, row in zip(axis.get_yticklabels(), rows):
    tick.set_fontweight('bold' if row.positive else 'normal')
  axis.tick_params(axis='y', length=0, labelsize=9)
  axis.grid(visible=False, axis='y')
  axis.set(xlim=(0, 1), ylim=(len(rows) - 0.4, -0.6))
