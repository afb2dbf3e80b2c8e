"""Finished runs of paper 000 on the same images, judged by their votes.

Scores are arrays over bootstrap replicates of the test images, which are the same
for all runs, so that any two are paired. What repeats them is a chain: a run by
another seed, with teachers and students of its own. Members of one run are averaged:
students of the same teachers are no independent networks.
"""

import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from benchmarks import tables
from emojax import tasks, uncertainty
from emojax.data import load
from emojax.evaluation import (
  Predictions,
  intervals,
  resampling,
  vote_limits,
  votes,
)
from emojax.evaluation.frames import flatten, labelled, pick, valid
from emojax.experiments.protocol import predictions_path
from emojax.metrics import divergence
from emojax.report.estimates import Estimate
from emojax.runtime import provenance
from emojax.settings import flatten as flat
from emojax.uncertainty import temperature

KL, SPEARMAN = 'KL to the votes', 'Spearman'
ACCURACY, NLL = 'accuracy', 'NLL'
VOTE_NLL, VOTE_ECE = 'NLL of the votes', 'ECE, votes'
JENSEN_SHANNON, TOTAL_VARIATION = 'Jensen-Shannon', 'total variation'
COLUMNS = (KL, SPEARMAN, ACCURACY, NLL)
LOWER_IS_BETTER = (
  KL, NLL, VOTE_NLL, VOTE_ECE, JENSEN_SHANNON, TOTAL_VARIATION,
)  # fmt: skip
VOTES, LABELS = 'votes', 'labels'  # what temperatures are fitted to
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
    label: Their class, -1 without one, [F].
    val: What temperatures are fitted to: the validation images by `VOTES`, those
      that anybody voted on, and by `LABELS`; None where there are none.
  """

  path: pathlib.Path
  config: ConfigDict
  results: Mapping[str, Any]
  schema: tasks.Schema
  test: Ballots
  label: np.ndarray
  val: Mapping[str, Ballots | None]

  def probabilities(self, name: str, scaled: str = '') -> np.ndarray:
    """Of the test images by a generation, [M, F, E].

    Args:
      name: The generation.
      scaled: `VOTES` or `LABELS` for each member at the temperature that fits
        these of the validation images best; '' for members as they are.

    Raises:
      ValueError: If a prediction is not finite, or the validation images have not
        what temperatures are to be fitted to.
    """
    found = self._predictions(name)
    logits = pick(found.logits['test'][self.schema[0].name], self.test.index)
    if scaled:
      logits = logits / self._temperatures(found, scaled)[:, None, None]
    return self._finite(name, logits)

  def sampled(self, name: str) -> np.ndarray:
    """Of the test images by each member's dropout passes, [M, F, E].

    Raises:
      ValueError: If there are none, or a prediction is not finite.
    """
    passes = self._predictions(name).mc.get('test')
    if passes is None:
      raise ValueError(f'{self.path}: no dropout passes (eval.mc_samples)')
    logits = pick(passes[self.schema[0].name], self.test.index)
    return self._finite(name, logits).mean(1)

  def _predictions(self, name: str) -> Predictions:
    return Predictions.load(predictions_path(self.path, name), self.schema)

  def _finite(self, name: str, logits) -> np.ndarray:
    made = uncertainty.probabilities(self.schema[0], np.float64(logits))
    if not np.isfinite(made).all():
      raise ValueError(f'{self.path}: predictions of {name} are not finite')
    return made

  def _temperatures(self, found: Predictions, by: str) -> np.ndarray:
    known = self.val[by]
    if known is None:
      raise ValueError(f'{self.path}: its validation images have no {by}')
    logits = pick(found.logits['val'][self.schema[0].name], known.index)
    return np.array(
      [temperature.fit_categorical(one, known.share) for one in logits]
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
    _labels(dataset.test, task, test.index),
    {VOTES: ballots(dataset.val, task), LABELS: hard(dataset.val, task)},
  )  # fmt: skip


def ballots(clips, task: tasks.Task) -> Ballots | None:
  """Frames with votes for a class of the task; None if there are none."""
  if getattr(clips, 'votes', None) is None:
    return None
  every = valid(clips)
  share, kept = votes.shares(flatten(clips.votes)[every], len(task.labels))
  return Ballots(every[kept], share) if len(kept) else None


def hard(clips, task: tasks.Task) -> Ballots | None:
  """Frames with a label, as if all had voted for it; None if there are none."""
  frames = labelled(task, clips)
  if frames is None:
    return None
  return Ballots(frames.index, np.float64(frames.target.value))


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
  """Scores predictions on the images of a run.

  Args:
    share: Shares of the votes, [F, E].
    label: Classes, -1 without one, [F].
    replicates: Of the images.
    seed: Of the replicates.
    wanted: Scores that are computed, of `SCORES`.
  """

  def __init__(
    self,
    share,
    label,
    replicates: int,
    seed: int = 0,
    wanted: Sequence[str] = COLUMNS,
  ):
    self.share, self.label, self.wanted = share, label, wanted
    self.counts = resampling.draws(seed, len(share), replicates)
    true = np.round(votes.entropy(share), 9)
    self.true, self.ranks = true, resampling.midranks(self.counts, true)
    self.labelled = np.flatnonzero(label >= 0)

  def score(self, probs: np.ndarray) -> Scores:
    """Of one predictive distribution [F, E]."""
    return {name: SCORES[name](self, probs) for name in self.wanted}

  def spearman(self, probs: np.ndarray) -> np.ndarray:
    """Of entropies with those of the votes."""
    ranks = resampling.midranks(self.counts, votes.entropy(probs))
    return resampling.pearson(self.counts, ranks, self.ranks)

  def vote_ece(self, probs: np.ndarray) -> np.ndarray:
    """Of the highest probability, and the share of votes for its class."""
    top = probs.argmax(1)[:, None]
    agreed = np.take_along_axis(self.share, top, 1)[:, 0]
    return resampling.calibration_error(self.counts, probs.max(1), agreed)

  def of_votes(self, distance: Callable, probs: np.ndarray) -> np.ndarray:
    """Mean of `(shares, probabilities) -> [F]`."""
    return resampling.mean(self.counts, distance(self.share, probs))

  def of_labels(self, score: Callable, probs: np.ndarray) -> np.ndarray:
    """Mean of `(one-hot, probabilities) -> [F]` over what has a label."""
    chosen = self.labelled
    one_hot = np.eye(probs.shape[1])[self.label[chosen]]
    values = score(one_hot, probs[chosen])
    return resampling.mean(self.counts[:, chosen], values)

  def singles(self, probs: np.ndarray) -> Scores:
    """Mean over members [M, F, E]."""
    return mean([self.score(one) for one in probs])

  def ensemble(self, probs: np.ndarray) -> Scores:
    """All members [M, F, E] together."""
    return self.score(probs.mean(0))


def kl(share: np.ndarray, probs: np.ndarray) -> np.ndarray:
  """KL divergence of the votes from predictions, [F], in nats."""
  return votes.cross_entropy(share, probs) - votes.entropy(share)


def _right(one_hot, probs) -> np.ndarray:
  return one_hot.argmax(1) == probs.argmax(1)


# Name -> (scorer, probabilities [F, E]) -> [1 + R].
SCORES: dict[str, Callable[[Scorer, np.ndarray], np.ndarray]] = {
  KL: lambda scorer, probs: scorer.of_votes(kl, probs),
  SPEARMAN: Scorer.spearman,
  ACCURACY: lambda scorer, probs: scorer.of_labels(_right, probs),
  NLL: lambda scorer, probs: scorer.of_labels(votes.cross_entropy, probs),
  VOTE_NLL: lambda scorer, probs: scorer.of_votes(votes.cross_entropy, probs),
  VOTE_ECE: Scorer.vote_ece,
  JENSEN_SHANNON: lambda scorer, probs: scorer.of_votes(
    divergence.jensen_shannon, probs
  ),
  TOTAL_VARIATION: lambda scorer, probs: scorer.of_votes(
    divergence.total_variation, probs
  ),
}


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


def limits(counts: np.ndarray, seed: int, images: str) -> tables.Table:
  """What a perfect predictor reaches against the votes.

  Args:
    counts: Votes, [F, E].
    seed: Of splits and draws.
    images: What they are of, e.g. 'faces of PublicTest'.
  """
  found = vote_limits.limits(counts, seed)
  rows = [
    [name, number(found.kl.get(name)), number(found.spearman.get(name))]
    for name in dict.fromkeys((*found.kl, *found.spearman))
  ]
  plain = votes.entropy(counts / counts.sum(1, keepdims=True)).mean()
  note = (
    f'{found.faces:,} {images} with two votes or more, '
    f'{counts.sum(1).mean():.2f} each, whose entropy is {plain:.3f} on average; '
    f'splits and draws by seed {seed}.'
  )
  title = 'What the votes allow a perfect predictor, by estimator'
  columns = ['', f'{KL}, at least', f'{SPEARMAN}, at most']
  return tables.Table(title, columns, rows, [note])


def number(value: float | None) -> str:
  """A cell; missing where it is undefined."""
  known = value is not None and not np.isnan(value)
  return f'{value:.3f}' if known else tables.MISSING
