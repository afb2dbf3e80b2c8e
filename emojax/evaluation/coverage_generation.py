"""Coverage and size of the prediction sets of one generation."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from emojax import tasks, uncertainty
from emojax.evaluation.context import FIT_SPLIT, Context
from emojax.evaluation.coverage import measure
from emojax.evaluation.coverage_labels import Labels, labels
from emojax.evaluation.frames import valid
from emojax.evaluation.predictions import Predictions
from emojax.uncertainty import conformal_sets, prior

COVERAGES = (0.8, 0.9, 0.95)
SHOWN = 0.9  # the coverage for which frames are told apart
Json = dict[str, Any]
Logits = Mapping[str, np.ndarray]
# (calibrated on, tested on), with the logits of their clips.
Pair = tuple[Labels, Labels, Logits, Logits]


class Side(NamedTuple):
  """Clips, and what networks say of them.

  Attributes:
    clips: With labels, and maybe votes.
    logits: Task -> [M, N, L, outputs], as `predict` corrects them.
  """

  clips: Any
  logits: Logits


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
    As `checked`.
  """
  schema, bins = context.scored, context.bin_values
  shift = context.priors.get(prediction.name) or {}

  def side(split, clips):
    logits = prediction.logits[split]
    return Side(clips, prior.correct(schema, logits, shift))

  fit = None
  if (
    context.fit_clips is not None
    and FIT_SPLIT in prediction.logits
    and _finite(prediction, FIT_SPLIT, context.fit_clips, notes)
  ):
    fit = side(FIT_SPLIT, context.fit_clips)
  test = side(context.split, context.clips)
  return checked(schema, fit, test, context.seed, bins)


def of_stack(
  prediction: Predictions,
  clips: Mapping[str, Any],
  split: str,
  seed: int,
  bin_values=None,
  members: slice | Sequence[int] = slice(None),
) -> Json:
  """Prediction sets of some networks as they are, without prior correction.

  By the usual methods alone: the papers that ask for this have many stacks.

  Args:
    prediction: Of the stack.
    clips: Set -> clips with labels: `split`, and 'val' if it has chosen epochs
      and is another one.
    split: The set that is tested.
    seed: Of the halves.
    bin_values: [K], needed by binned tasks.
    members: Which of the stack's, an index of its first axis.

  Returns:
    As `checked`, and `notes`: why something is missing.
  """
  notes: list[str] = []
  sides = {
    key: Side(one, {k: x[members] for k, x in prediction.logits[key].items()})
    for key, one in clips.items()
    if key in prediction.logits and _finite(prediction, key, one, notes)
  }
  found: Json = {'held_out': None, 'halves': None, 'other_labels': []}
  if split in sides:
    fit = sides.get(FIT_SPLIT) if split != FIT_SPLIT else None
    of = prediction.schema, fit, sides[split], seed, bin_values
    found = checked(*of, usual=True)
  return found | {'notes': notes}


def checked(
  schema: tasks.Schema,
  fit: Side | None,
  test: Side,
  seed: int,
  bin_values=None,
  usual: bool = False,
) -> Json:
  """Every promise twice: by the validation set, and by half of who is tested.

  Args:
    schema: The tasks.
    fit: The validation set; None where it is itself tested, or of no use.
    test: Who is tested.
    seed: Of the halves.
    bin_values: [K], needed by binned tasks.
    usual: Whether only the usual methods are of interest.

  Returns:
    `held_out` and `halves`, each as of `evaluate`; the first is None without
    `fit`. `other_labels` names tasks whose labels are shares of votes in one of
    both sets only: what thresholds of one promise is not what is counted in the
    other.
  """
  pairs = halves(schema, *test, seed)
  found = {
    'held_out': None,
    'halves': evaluate(pairs, bin_values=bin_values, usual=usual),
    'other_labels': [],
  }
  if fit is not None:
    pairs = held_out(schema, *fit, *test)
    found['held_out'] = evaluate(pairs, bin_values=bin_values, usual=usual)
    found['other_labels'] = other_labels(schema, fit.clips, test.clips)
  return found


def _finite(
  prediction: Predictions, split: str, clips, notes: list[str]
) -> bool:
  """Whether predictions of a set are of use; a note says why they are not."""
  try:
    prediction.check_finite(split, valid(clips))
  except ValueError as error:
    name = 'validation' if split == FIT_SPLIT else split
    notes.append(f'no prediction sets by the {name} set: {error}')
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


def evaluate(
  pairs,
  coverages: Sequence[float] = COVERAGES,
  bin_values=None,
  usual: bool = False,
):
  """Fits prediction sets and counts how often they hold the truth.

  Args:
    pairs: Of `held_out` or `halves`.
    coverages: In (0, 1).
    bin_values: [K], needed by binned tasks.
    usual: Whether only the usual methods are of interest.

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
      for method in (tested.usual if usual else tested.methods)
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
  if shown and method in tested.usual:
    rows = [score([m], False) for m in range(len(probs[0]))]
    found['single'] = {
      key: float(np.mean([row[key] for row in rows]))
      for key in ('coverage', 'size')
    }
  return found
