"""What the evaluations of all generations share."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from emojax import tasks
from emojax.evaluation import truth
from emojax.evaluation.frames import Frames, labelled
from emojax.uncertainty.prior import Prior

FIT_SPLIT = 'val'


@dataclasses.dataclass(frozen=True)
class Context:
  """The evaluation split and its labels.

  Attributes:
    schema: All tasks that are predicted.
    scored: The tasks that have labels in the split.
    split: 'test' or 'val'.
    clips: Clips of the split.
    frames: Labelled frames of the scored tasks.
    fit_frames: The same in the validation set (None where unlabelled), to fit
      temperatures on; empty if that is the evaluation split.
    ood: Out-of-distribution clips by name.
    optimum: `truth.optimum`, or None where p* is not known.
    frame_optimum: The same of whoever sees one frame at a time, without sound, or
      None where no frame is hidden.
    seed: Seed of random splits.
    bin_values: [K], or None without binned tasks.
    temperature: Whether to scale temperatures.
    fit_clips: The clips of `fit_frames`; None if none of them has a label.
    priors: Generation -> log weights of its training (`uncertainty.prior`).
  """

  schema: tasks.Schema
  scored: tasks.Schema
  split: str
  clips: Any
  frames: dict[str, Frames]
  fit_frames: dict[str, Frames | None]
  ood: dict[str, Any]
  optimum: dict[str, Any] | None
  seed: int
  bin_values: np.ndarray | None
  temperature: bool = True
  priors: Mapping[str, Prior] = dataclasses.field(default_factory=dict)
  fit_clips: Any = None
  frame_optimum: dict[str, Any] | None = None


def choose_split(
  schema: tasks.Schema, dataset, split: str | None = None
) -> str:
  """Returns the split to evaluate: 'test' unless it is 'val' or unlabelled."""
  if split is None:
    if dataset.test is dataset.val:
      return FIT_SPLIT
    has_labels = any(labelled(task, dataset.test) for task in schema)
    return 'test' if has_labels else FIT_SPLIT
  if split not in ('test', FIT_SPLIT):
    raise ValueError(f"split {split!r}: expected 'test' or 'val'")
  return split


def make(
  schema, dataset, seed, bin_values, split, temperature=True, priors=None
) -> Context:
  """Returns the context; arguments and errors as `evaluate`."""
  split = choose_split(schema, dataset, split)
  clips = getattr(dataset, split)
  frames = _labelled(schema, clips)
  scored = tuple(task for task in schema if task.name in frames)
  if not scored:
    raise ValueError(
      f'{dataset.name}: no frame of {split!r} has a label; evaluate a split '
      'that has'
    )
  bins = {task.bins for task in schema if task.kind == 'binned'}
  if bin_values is None and bins:
    bin_values = tasks.bin_values(bins.pop())
  best = None
  if clips.truth is not None:
    best = truth.optimum(scored, frames, bin_values)
  fit_frames = {}
  if split != FIT_SPLIT:
    fit_frames = {task.name: labelled(task, dataset.val) for task in scored}
  return Context(
    schema=schema,
    scored=scored,
    split=split,
    clips=clips,
    frames=frames,
    fit_frames=fit_frames,
    ood=dataset.ood,
    optimum=best,
    seed=seed,
    bin_values=bin_values,
    temperature=temperature,
    priors=priors or {},
    fit_clips=dataset.val if any(fit_frames.values()) else None,
    frame_optimum=_frame_optimum(scored, clips, bin_values),
  )


def _frame_optimum(scored, clips, bin_values):
  if getattr(clips, 'frame_truth', None) is None:
    return None
  alone = dataclasses.replace(clips, truth=clips.frame_truth)
  return truth.optimum(scored, _labelled(scored, alone), bin_values)


def _labelled(schema: tasks.Schema, clips) -> dict[str, Frames]:
  """Labelled frames of the tasks that have any."""
  found = {task.name: labelled(task, clips) for task in schema}
  return {name: frames for name, frames in found.items() if frames is not None}
