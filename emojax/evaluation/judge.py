"""Generations of a run against the votes of annotators; see `votes`.

All methods see the same bootstrap replicates of the test images, so that the
difference of two methods has an interval of its own. It is over the members, too:
member k of the teachers and member k of the students are a chain, and left out
together (`intervals.members_and_images`).
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from emojax import tasks, uncertainty
from emojax.evaluation import intervals, resampling, votes
from emojax.evaluation.context import FIT_SPLIT, Context
from emojax.evaluation.frames import Frames, flatten, pick, valid
from emojax.evaluation.predictions import Predictions
from emojax.evaluation.scores import finite
from emojax.uncertainty import prior, temperature

Statistics = votes.Statistics
REPLICATES = 1000
SCALED, SCALED_BY_VOTES = ' + TS', ' + TS on votes'


class Judge:
  """Judges the generations of a run, one after the other.

  Args:
    context: The evaluation split, with votes, and the foreign sets.
    replicates: Bootstrap replicates; `REPLICATES` if None.
  """

  def __init__(self, context: Context, replicates: int | None = None):
    self.context, self.task = context, judged_task(context)
    replicates = REPLICATES if replicates is None else replicates
    frames = context.frames[self.task.name]
    every = valid(context.clips)
    ballots = flatten(context.clips.votes)[every]
    share, kept = votes.shares(ballots, len(self.task.labels))
    self.index = every[kept]
    known = np.isin(frames.index, self.index)
    self.sample = votes.Sample(
      counts=resampling.draws(context.seed, len(kept), replicates),
      votes=share,
      labelled=np.searchsorted(self.index, frames.index[known]),
      label=frames.target.value[known].argmax(1),
      outside={
        name: resampling.draws(context.seed + i, len(valid(clips)), replicates)
        for i, (name, clips) in enumerate(context.ood.items(), 1)
      },
    )
    self.fits = self._fits()
    self.rows: dict[str, dict[str, Any]] = {}
    self.replicates: dict[str, Statistics] = {}
    self.without: dict[str, Statistics] = {}
    self.curves: dict[str, Any] = {}

  def add(self, prediction: Predictions):
    """Judges single models and the ensemble of a generation."""
    first = not self.rows
    logits = self._logits(prediction.logits)
    self._add_models(prediction.name, '', logits)
    for suffix, frames in self.fits.items():
      scaled, found = self._scaled(prediction, logits, frames)
      self._add_models(prediction.name, suffix, scaled)
      self.rows[f'{prediction.name} single{suffix}']['temperatures'] = found
    shift = self.context.priors.get(prediction.name, {})
    if prior.changes({k: v for k, v in shift.items() if k == self.task.name}):
      corrected = {
        k: prior.apply(self.task, x, shift) for k, x in logits.items()
      }
      self._add_models(prediction.name, ' + PC', corrected)
    if first and self.context.split in prediction.mc:
      passes = self._logits(prediction.mc)
      probs = {k: self._probs(v) for k, v in passes.items()}
      self._add(f'{prediction.name} single + MC dropout', probs)

  def _add_models(self, name: str, suffix: str, logits):
    probs = {key: self._probs(value) for key, value in logits.items()}
    single = {key: p[:, None] for key, p in probs.items()}
    self._add(f'{name} single{suffix}', single)
    together = {key: p[None] for key, p in probs.items()}
    self._add(f'{name} ensemble{suffix}', together, ensemble=True)

  def _add(self, row: str, probs: Mapping[str, np.ndarray], ensemble=False):
    """Adds models of [models, S, F, E] by set, or one `ensemble` of S members."""
    inside = probs[self.context.split]
    every, drawn = [], []
    for model in range(len(inside)):
      every.append(self._statistics(self.sample, probs, model))
      drawn.append(votes.curves(self.sample, inside[model]))
    self.without[row] = (
      self._without_member(probs) if ensemble else without_model(every)
    )
    self.rows[row], self.replicates[row] = summarise(every)
    self.rows[row]['error'] = {
      key: _error(self._interval(self.replicates[row][key], without))
      for key, without in self.without[row].items()
    }
    self.curves[row] = {
      key: votes.rounded(np.mean([curve[key] for curve in drawn], 0))
      for key in drawn[0]
    }

  def _statistics(self, sample, probs, model: int, members=slice(None)):
    outside = {
      name: probs[f'ood/{name}'][model][members] for name in sample.outside
    }
    inside = probs[self.context.split][model][members]
    return votes.statistics(sample, inside, outside)

  def _without_member(self, probs: Mapping[str, np.ndarray]) -> Statistics:
    """Statistics [M] of an ensemble without each member, on all images."""
    sample = dataclasses.replace(
      self.sample,
      counts=self.sample.counts[:1],
      outside={k: v[:1] for k, v in self.sample.outside.items()},
    )
    count = probs[self.context.split].shape[1]
    members = np.arange(count)
    found = [
      self._statistics(sample, probs, 0, members != m)
      for m in (members if count > 1 else ())
    ]
    # Two members leave one, which has no epistemic uncertainty.
    shared = set.intersection(*map(set, found)) if found else ()
    return {k: np.array([one[k][0] for one in found]) for k in sorted(shared)}

  def _interval(self, replicates, without) -> intervals.Interval:
    images = len(self.sample.votes)
    return intervals.members_and_images(replicates, without, images)

  def _probs(self, logits: np.ndarray) -> np.ndarray:
    return uncertainty.probabilities(self.task, np.float64(logits))

  def _logits(self, sets) -> dict[str, np.ndarray]:
    """Logits of the judged faces and of the foreign sets, [..., F, E]."""
    name = self.task.name
    places = {self.context.split: self.index} | {
      f'ood/{key}': valid(clips) for key, clips in self.context.ood.items()
    }
    return {key: pick(sets[key][name], at) for key, at in places.items()}

  def _fits(self) -> dict[str, Frames]:
    """Validation frames that temperatures are fitted to, by what a row is called."""
    found = {}
    if frames := self.context.fit_frames.get(self.task.name):
      found[SCALED] = frames
    clips = self.context.fit_clips
    ballots = getattr(clips, 'votes', None)
    if ballots is not None:
      every = valid(clips)
      share, kept = votes.shares(flatten(ballots)[every], len(self.task.labels))
      if len(kept):
        target = tasks.Target(share, np.ones(len(kept)))
        found[SCALED_BY_VOTES] = Frames(every[kept], target, None)
    return found

  def _scaled(self, prediction: Predictions, logits, frames: Frames):
    """Divides by temperatures of the validation part, one for each member."""
    fit = prediction.logits[FIT_SPLIT][self.task.name]
    found = np.array(
      [
        temperature.fit(self.task, pick(one, frames.index), frames.target)
        for one in fit
      ]
    )
    scaled = {key: x / found[:, None, None] for key, x in logits.items()}
    return scaled, votes.rounded(found)

  def results(self) -> dict[str, Any]:
    """Everything found, for results.json."""
    entropies = votes.entropy(self.sample.votes)
    return {
      'faces': len(self.index),
      'labelled': len(self.sample.label),
      'replicates': len(self.sample.counts) - 1,
      'entropy': float(entropies.mean()),
      'rows': self.rows,
      'differences': differences(self.replicates, self.without, self._interval),
    }


def summarise(every: Sequence[Statistics]) -> tuple[dict[str, Any], Statistics]:
  """Mean over models with its interval, and standard deviation over them.

  Args:
    every: Statistics [R] of each model.

  Returns:
    (JSON-able row, replicates of the mean).
  """
  drawn = {key: np.mean([one[key] for one in every], 0) for key in every[0]}
  row = {
    'models': len(every),
    'mean': {key: finite(values[0]) for key, values in drawn.items()},
    'interval': {key: _interval(values) for key, values in drawn.items()},
    'std': None,
  }
  if len(every) > 1:
    row['std'] = {
      key: finite(np.std([one[key][0] for one in every], ddof=1))
      for key in drawn
    }
  return row, drawn


def without_model(every: Sequence[Statistics]) -> Statistics:
  """Mean statistics [M] of single models without each of them; {} of one."""
  found, count = {}, len(every)
  for key in every[0] if count > 1 else ():
    values = np.array([one[key][0] for one in every])
    found[key] = (values.sum() - values) / (count - 1)
  return found


def differences(
  replicates: Mapping[str, Statistics],
  without: Mapping[str, Statistics],
  interval: Callable[..., intervals.Interval],
) -> list[dict[str, Any]]:
  """Every statistic of students less that of teachers, with intervals.

  Single models are compared with all single rivals of the first generation,
  ensembles with its ensembles, and corrected ones (PC) with corrected ones; the
  replicates are the same for both sides, and each member is left out of both at
  once.

  Args:
    replicates: Row -> statistics [1 + R] over the images.
    without: Row -> statistics [M] without each member.
    interval: (replicates, without) -> interval over members and images.
  """
  first = next(iter(replicates)).split()[0]
  found = []
  for row, mine in replicates.items():
    name, kind = row.split(' ', 1)
    if name == first or kind not in COMPARED:
      continue
    for rival, theirs in replicates.items():
      if rival.startswith(f'{first} {kind}'):
        for key in mine:
          if key in theirs:
            a, b = (without[x].get(key, _NOBODY) for x in (row, rival))
            a, b = (a, b) if len(a) == len(b) else (_NOBODY, _NOBODY)
            gap = interval(mine[key] - theirs[key], a - b)
            found.append(_difference(row, rival, key, gap))
  return found


_NOBODY = np.empty(0)
_SIDES = ('single', 'ensemble')
COMPARED = _SIDES + tuple(f'{side} + PC' for side in _SIDES)


def _difference(row: str, rival: str, key: str, gap) -> dict[str, Any]:
  return {
    'row': row,
    'rival': rival,
    'statistic': key,
    'difference': finite(gap.value),
    'interval': [finite(gap.low), finite(gap.high)],
    **_error(gap),
  }


def _error(found: intervals.Interval) -> dict[str, float | None]:
  return {'error': finite(found.error), 'freedom': finite(found.freedom)}


def _interval(values) -> list[float | None]:
  return [finite(end) for end in resampling.interval(values)]


def judged_task(context: Context) -> tasks.Task:
  """The task that the votes are for: the first one with a choice of classes.

  Raises:
    ValueError: There is none, or there are fewer columns than classes.
  """
  width = context.clips.votes.shape[-1]
  for task in context.scored:
    if task.kind == 'categorical' and len(task.labels) <= width:
      return task
  raise ValueError(
    f'votes: {width} columns fit none of the tasks '
    f'{[task.name for task in context.scored]}; expected a categorical task '
    'with as many classes or fewer'
  )
