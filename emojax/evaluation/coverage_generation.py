"""Coverage and size of the prediction sets of one generation."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from emojax import tasks, uncertainty
from emojax.evaluation.coverage import measure
from emojax.evaluation.coverage_labels import Labels, labels
from emojax.uncertainty import conformal_sets
from emojax.uncertainty.conformal_examples import DEFAULTS

COVERAGES = (0.8, 0.9, 0.95)
Json = dict[str, Any]
Logits = Mapping[str, np.ndarray]
# (calibrated on, tested on), with the logits of their clips.
Pair = tuple[Labels, Labels, Logits, Logits]


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
    ensemble; `single` has the mean coverage and size of its members alone, each
    with thresholds of its own, for the usual methods.
  """
  found: dict[str, Json] = {}
  for pair in pairs:
    title, methods = pair[1].title, pair[1].methods
    found[title] = {
      method: {str(c): _one(pair, method, c, bin_values) for c in coverages}
      for method in methods
    }
  return found


def _one(pair: Pair, method: str, coverage: float, bin_values) -> Json:
  fitted_on, tested, *logits = pair
  task = tested.task
  probs = [
    uncertainty.probabilities(task, of.pick(x))
    for of, x in zip(pair[:2], logits)
  ]

  def score(members):
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
      tested, method, probs[1][members], fitted, coverage, bin_values
    )

  found = score(slice(None))
  if tested.votes or method == DEFAULTS[task.kind]:
    rows = [score([m]) for m in range(len(probs[0]))]
    found['single'] = {
      key: float(np.mean([row[key] for row in rows]))
      for key in ('coverage', 'size')
    }
  return found
