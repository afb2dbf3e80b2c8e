"""Coverage and size of the prediction sets of one generation."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from emojax import tasks, uncertainty
from emojax.evaluation.context import FIT_SPLIT, Context
from emojax.evaluation.coverage import measure
from emojax.evaluation.coverage_labels import Labels, labels
from emojax.evaluation.frames import valid
from emojax.evaluation.predictions import Predictions
from emojax.uncertainty import conformal_sets, prior
from emojax.uncertainty.conformal_examples import DEFAULTS

COVERAGES = (0.8, 0.9, 0.95)
SHOWN = 0.9  # the coverage for which frames are told apart
Json = dict[str, Any]
Logits = Mapping[str, np.ndarray]
# (calibrated on, tested on), with the logits of their clips.
Pair = tuple[Labels, Labels, Logits, Logits]


def of_generation(
  context: Context, prediction: Predictions, notes: list[str]
) -> Json:
  """Prediction sets of a generation, as its exported model would make them.

  Without the class weights of the training where they are known, and without
  temperatures.

  Args:
    context: What is scored; its split's predictions are finite.
    prediction: The generation's.
    notes: Receives why there is nothing of the validation set, if its
      predictions are not finite.

  Returns:
    `held_out` and `halves`, each as of `evaluate`; the first is None where the
    validation set is itself scored, has no labels or predictions that are not
    finite. `other_labels` names tasks
    whose labels are shares of votes in one of both sets only: what thresholds of
    one promise is not what is counted in the other.
  """
  schema, bins = context.scored, context.bin_values
  shift = context.priors.get(prediction.name) or {}
  test = prior.correct(schema, prediction.logits[context.split], shift)
  pairs = halves(schema, context.clips, test, context.seed)
  found = {'held_out': None, 'halves': evaluate(pairs, bin_values=bins)}
  found['other_labels'] = []
  if _of_use(context, prediction, notes):
    val = prior.correct(schema, prediction.logits[FIT_SPLIT], shift)
    clips = context.fit_clips, val, context.clips, test
    found['held_out'] = evaluate(held_out(schema, *clips), bin_values=bins)
    found['other_labels'] = other_labels(schema, clips[0], clips[2])
  return found


def _of_use(context: Context, prediction: Predictions, notes: list[str]):
  """Whether there are predictions of the validation set to calibrate on."""
  if context.fit_clips is None or FIT_SPLIT not in prediction.logits:
    return False
  try:
    prediction.check_finite(FIT_SPLIT, valid(context.fit_clips))
  except ValueError as error:
    notes.append(f'no prediction sets by the validation set: {error}')
    return False
  return True


def other_labels(schema: tasks.Schema, first, second) -> list[str]:
  """Tasks whose labels are shares in one of two sets of clips only."""
  soft = [
    {one.title for one in labels(schema, clips) if one.soft}
    for clips in (first, second)
  ]
  return sorted(soft[0] ^ soft[1])


def held_out(
  schema: tasks.Schema, val, val_logits: Logits, test, test_logits: Logits
) -> Iterator[Pair]:
  """Thresholds as models are exported with, of the validation set.

  It has chosen the epochs, too, so that its scores are a little too good.

  Args:
    schema: The tasks.
    val: Clips with labels, and maybe votes.
    val_logits: Task -> [M, N, L, outputs], as `predict` corrects them.
    test: Clips of other people.
    test_logits: Theirs.
  """
  known = {one.title: one for one in labels(schema, val)}
  for one in labels(schema, test):
    if one.title in known:
      yield known[one.title], one, val_logits, test_logits


def halves(
  schema: tasks.Schema, test, logits: Logits, seed: int
) -> Iterator[Pair]:
  """Thresholds of a random half of the people, who have chosen nothing.

  The other half is tested; as `held_out`. Tasks with one person have no halves.
  """
  for one in labels(schema, test):
    names = np.unique(one.groups)
    order = np.random.default_rng(seed).permutation(len(names))
    inside = np.isin(one.groups, names[order[: len(names) // 2]])
    if inside.any():
      yield one.take(inside), one.take(~inside), logits, logits


def evaluate(pairs, coverages: Sequence[float] = COVERAGES, bin_values=None):
  """Fits prediction sets and counts how often they hold the truth.

  Args:
    pairs: Of `held_out` or `halves`.
    coverages: In (0, 1).
    bin_values: [K], needed by binned tasks.

  Returns:
    Task (and 'TASK votes') -> method -> coverage as text -> `measure` of the
    ensemble. At `SHOWN` only, frames are told apart, and `single` has the mean
    coverage and size of its members alone, each with thresholds of its own, for
    the usual methods.
  """
  found: dict[str, Json] = {}
  for fitted_on, tested, *logits in pairs:
    probs = [
      uncertainty.probabilities(tested.task, of.pick(x))
      for of, x in zip((fitted_on, tested), logits)
    ]
    found[tested.title] = {
      method: {
        str(c): _one(fitted_on, tested, probs, method, c, bin_values)
        for c in coverages
      }
      for method in tested.methods
    }
  return found


def _one(
  fitted_on: Labels, tested: Labels, probs, method, coverage: float, bin_values
) -> Json:
  task, shown = tested.task, coverage == SHOWN

  def score(members, apart):
    fitted = conformal_sets.fit(
      task,
      method,
      probs[0][members],
      fitted_on.target,
      fitted_on.groups,
      (coverage,),
      bin_values,
    )
    return measure(
      tested, method, probs[1][members], fitted, coverage, bin_values, apart
    )

  found = score(slice(None), shown)
  if shown and (tested.votes or method == DEFAULTS[task.kind]):
    rows = [score([m], False) for m in range(len(probs[0]))]
    found['single'] = {
      key: float(np.mean([row[key] for row in rows]))
      for key in ('coverage', 'size')
    }
  return found
