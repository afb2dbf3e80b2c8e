"""Finished runs of configs/ferplus.py on the same faces, judged by their votes.

Scores are arrays over bootstrap replicates of the test faces, which are the same
for all runs, so that any two are paired. What repeats them is a chain: a run by
another seed, with teachers and students of its own. Members of one run are averaged:
students of the same teachers are no independent networks.
"""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from emojax import tasks, uncertainty
from emojax.data import load
from emojax.evaluation import Predictions, intervals, resampling, votes
from emojax.evaluation.frames import flatten, labelled, pick, valid
from emojax.experiments.protocol import predictions_path
from emojax.report.estimates import Estimate
from emojax.runtime import provenance
from emojax.settings import flatten as flat
from emojax.uncertainty import temperature

KL, SPEARMAN = 'KL to the votes', 'Spearman'
ACCURACY, NLL = 'accuracy', 'NLL'
COLUMNS = (KL, SPEARMAN, ACCURACY, NLL)
LOWER_IS_BETTER = (KL, NLL)
Scores = dict[str, np.ndarray]  # column -> [1 + R]


class Ballots(NamedTuple):
  """Faces that somebody voted on.

  Attributes:
    index: Their positions in the flattened frames of a set, [F].
    share: Shares of their votes, [F, E].
  """

  index: np.ndarray
  share: np.ndarray


class Run(NamedTuple):
  """A finished run.

  Attributes:
    path: Its folder.
    config: Its configuration.
    results: results.json.
    schema: One task, with classes.
    test: The faces that are scored.
    label: Their majority class, -1 without one, [F].
    val: Faces that temperatures are fitted to; None without votes.
  """

  path: pathlib.Path
  config: ConfigDict
  results: Mapping[str, Any]
  schema: tasks.Schema
  test: Ballots
  label: np.ndarray
  val: Ballots | None

  def probabilities(self, name: str, scaled: bool = False) -> np.ndarray:
    """Of the test faces by a generation, [M, F, E].

    Args:
      name: The generation.
      scaled: Whether each member has the temperature that fits the votes for the
        validation faces best.

    Raises:
      ValueError: If a prediction is not finite, or the validation faces have no
        votes.
    """
    (task,) = self.schema
    found = Predictions.load(predictions_path(self.path, name), self.schema)
    logits = pick(found.logits['test'][task.name], self.test.index)
    if scaled:
      logits = logits / self._temperatures(found)[:, None, None]
    made = uncertainty.probabilities(task, np.float64(logits))
    if not np.isfinite(made).all():
      raise ValueError(f'{self.path}: predictions of {name} are not finite')
    return made

  def _temperatures(self, found: Predictions) -> np.ndarray:
    if self.val is None:
      raise ValueError(f'{self.path}: its validation faces have no votes')
    (task,) = self.schema
    logits = pick(found.logits['val'][task.name], self.val.index)
    return np.array(
      [temperature.fit_categorical(one, self.val.share) for one in logits]
    )


def read(path: pathlib.Path) -> Run:
  """Opens a finished run, and the labels and votes that it is scored with.

  Raises:
    ValueError: If it is not finished, or its data are not those of its training.
  """
  try:
    config = ConfigDict(
      json.loads((path / 'config.json').read_text())['config']
    )
    results = json.loads((path / 'results.json').read_text())
  except (KeyError, OSError, TypeError, ValueError) as error:
    raise ValueError(
      f'{path} is no finished run ({type(error).__name__}: {error})'
    ) from error
  data = config.data.copy_and_resolve_references()
  # No image is read, and none is drawn but for two sets of one.
  data.memory_gib, data.ood_path, data.ood_clips = 0.0, '', 1
  dataset = load.from_config(data)
  for name in ('val', 'test'):
    provenance.check_part(path, name, getattr(dataset, name))
  (task,) = dataset.schema
  test = ballots(dataset.test, task)
  if test is None:
    raise ValueError(f'{path}: its test faces have no votes')
  return Run(
    path, config, results, dataset.schema, test,
    _labels(dataset.test, task, test.index), ballots(dataset.val, task),
  )  # fmt: skip


def ballots(clips, task: tasks.Task) -> Ballots | None:
  """Frames with votes for a class of the task; None if there are none."""
  if getattr(clips, 'votes', None) is None:
    return None
  every = valid(clips)
  share, kept = votes.shares(flatten(clips.votes)[every], len(task.labels))
  return Ballots(every[kept], share) if len(kept) else None


def _labels(clips, task: tasks.Task, index: np.ndarray) -> np.ndarray:
  frames = labelled(task, clips)
  found = np.full(clips.frame_mask.size, -1)
  if frames is not None:
    found[frames.index] = frames.target.value.argmax(1)
  return found[index]


def check(runs: Sequence[Run], free: Sequence[str]):
  """Raises ValueError unless runs have the same test faces and settings.

  Args:
    runs: Of one benchmark.
    free: Settings, or their beginnings, in which they may differ.
  """
  first, *others = runs
  settings = flat(first.config.to_dict())
  for one in others:
    if not np.array_equal(one.test.share, first.test.share):
      raise ValueError(f'{one.path} and {first.path} have other test faces')
    mine = flat(one.config.to_dict())
    names = {k for k in settings | mine if settings.get(k) != mine.get(k)}
    names = {k for k in names if not k.startswith(tuple(free))}
    if names:
      raise ValueError(
        f'{one.path} and {first.path} differ in {", ".join(sorted(names))}'
      )


class Scorer:
  """Scores predictions on the faces of a run.

  Args:
    share: Shares of the votes, [F, E].
    label: Majority classes, -1 without one, [F].
    replicates: Of the faces.
    seed: Of the replicates.
  """

  def __init__(self, share, label, replicates: int, seed: int = 0):
    self.share, self.label = share, label
    self.counts = resampling.draws(seed, len(share), replicates)
    true = np.round(votes.entropy(share), 9)
    self.true, self.ranks = true, resampling.midranks(self.counts, true)
    self.labelled = np.flatnonzero(label >= 0)

  def score(self, probs: np.ndarray) -> Scores:
    """Of one predictive distribution [F, E]."""
    entropies = votes.entropy(probs)
    kl = votes.cross_entropy(self.share, probs) - votes.entropy(self.share)
    known, label = probs[self.labelled], self.label[self.labelled]
    counts = self.counts[:, self.labelled]
    nll = votes.cross_entropy(np.eye(probs.shape[1])[label], known)
    return {
      KL: resampling.mean(self.counts, kl),
      SPEARMAN: resampling.pearson(
        self.counts, resampling.midranks(self.counts, entropies), self.ranks
      ),
      ACCURACY: resampling.mean(counts, known.argmax(1) == label),
      NLL: resampling.mean(counts, nll),
    }

  def singles(self, probs: np.ndarray) -> Scores:
    """Mean over members [M, F, E]."""
    return mean([self.score(one) for one in probs])

  def ensemble(self, probs: np.ndarray) -> Scores:
    """All members [M, F, E] together."""
    return self.score(probs.mean(0))


def mean(every: Sequence[Scores]) -> Scores:
  """Of several scores, replicate by replicate."""
  return {key: np.mean([one[key] for one in every], 0) for key in every[0]}


def over_chains(chains: Sequence[np.ndarray], faces: int) -> Estimate:
  """Mean over chains with its error over chains and faces.

  Args:
    chains: Values of each chain over replicates, [1 + R] each.
    faces: Number of test faces.

  Returns:
    The error is unknown of fewer than three chains.
  """
  values = np.array(chains)
  without = intervals.left_out(
    lambda index: values[index, 0].mean(), len(values)
  )
  found = intervals.members_and_images(values.mean(0), without, faces)
  if not np.isfinite(found.error):
    return Estimate(float(found.value), None)
  return Estimate(float(found.value), float(found.error), float(found.freedom))
