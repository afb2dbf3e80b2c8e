"""Accuracy, rejection, detection of wrong labels, agreement with annotators.

Everything is computed for each member by itself and summarised by noise level.
"""

from typing import Any

import numpy as np
import scipy.special
import sklearn.metrics

from emojax.evaluation import coverage_generation, scores, votes
from emojax.evaluation.context import FIT_SPLIT
from emojax.experiments.relative_uncertainty import members as members_lib
from emojax.experiments.relative_uncertainty import outputs as saved
from emojax.metrics import correlation, ood, selective

REJECTED = (0.0, 0.1, 0.2, 0.3)  # paper 003, Tables 2 and 6
CURVE = np.linspace(0, 0.5, 51)
BINS = 40  # of the histograms, Figures 5 and 6
Values = dict[str, float | None]


def evaluate(run) -> tuple[dict[str, Any], dict[str, Any]]:
  """Evaluates all methods of a run.

  Args:
    run: See `run.Run`.

  Returns:
    (results, curves). `results['methods'][method][level]` has 'members' (one
    dictionary of metrics per repetition), 'mean' and 'std' (of the sample), and
    'sets', of the repetitions together (`coverage_generation.of_stack`).

  Raises:
    ValueError: if an output of a member is not finite.
  """
  results = {
    'dataset': run.dataset.name,
    'classes': list(run.task.labels),
    'levels': list(run.members.levels),
    'repetitions': run.members.repetitions,
    'train_images': len(saved.training_images(run)),
    'test_images': len(run.dataset.test),
    'methods': {},
  }
  curves = {'rejected': CURVE.round(4).tolist(), 'methods': {}}
  truth = Truth(run)
  for name in run.config.methods:
    with np.load(run.predictions_path(name)) as file:
      found = dict(file)
    check_finite(name, found)
    rows = [
      member_metrics(truth, found, m) for m in range(len(found['labels']))
    ]
    predictions = saved.predictions(name, run.task, found)
    levels = {
      level: {
        **scores.summarise([rows[m][0] for m in run.members.of_level(level)]),
        'sets': _sets(run, predictions, level),
      }
      for level in run.members.levels
    }
    results['methods'][name] = levels
    curves['methods'][name] = {
      level: _curves([rows[m][1] for m in run.members.of_level(level)])
      for level in run.members.levels
    }
  return results, curves


def _sets(run, predictions, level: str) -> dict[str, Any]:
  """Coverage of the sets of the repetitions at a noise level together."""
  dataset, split = run.dataset, 'test'
  clips = {split: dataset.test}
  if dataset.test is not dataset.val:
    clips |= {FIT_SPLIT: dataset.val}
  members = list(run.members.of_level(level))
  return coverage_generation.of_stack(
    predictions, clips, split, run.config.seed, members=members
  )


def check_finite(method: str, found):
  """Raises ValueError if an output of a member is not finite.

  NaN would be sorted and compared, and taken for an answer, like a number.

  Args:
    method: Its name.
    found: Arrays of `outputs.predict`.
  """
  for key in (
    'test/logits',
    'test/uncertainty',
    'train/logits',
    'train/uncertainty',
  ):
    for m, values in enumerate(found[key]):
      if not np.isfinite(values).all():
        raise ValueError(
          f'{method}, member {m}: {key} are NaN or infinite: it has diverged; '
          'train again with a lower config.train.learning_rate'
        )


class Truth:
  """What is known of the test and the training images.

  Attributes:
    labelled: Positions of the test images with a label.
    label: Their classes.
    disagreement: Entropy of the annotators' votes, or of the posterior that
      embedded labels are drawn from, and the positions of these images; None
      where neither is known.
    chosen: Numbers of the training images that are evaluated.
    members: The members' labels.
  """

  def __init__(self, run):
    test, task = run.dataset.test, run.task
    target = test.targets[task.name]
    self.labelled = np.flatnonzero(np.asarray(target.mask)[:, 0])
    self.label = np.asarray(target.value)[self.labelled, 0].argmax(-1)
    self.disagreement = _disagreement(test, task)
    self.chosen = saved.examined_images(run)
    self.members: members_lib.Members = run.members


def _disagreement(test, task):
  if test.votes is not None:
    shares, index = votes.shares(test.votes[:, 0], len(task.labels))
    # The same votes for other classes have the same rank.
    return np.round(votes.entropy(shares), 9), index
  if test.truth is not None:
    truth = np.asarray(test.truth[task.name][:, 0], np.float64)
    return votes.entropy(truth), np.arange(len(truth))
  return None


def member_metrics(truth: Truth, found, m: int) -> tuple[Values, dict]:
  """Metrics and curves of one member.

  Args:
    truth: What is known.
    found: Arrays of `outputs.predict`, with 'labels' [M, N] after relabelling.
    m: The member.

  Returns:
    (metrics, curves):
      acc, f1: on clean test labels; best: the highest validation accuracy;
      reject/10: accuracy without the 10 % most uncertain, area: mean of this
      curve; msp/...: the same by one minus the highest probability instead;
      auroc/error: uncertainty of wrong against that of right predictions;
      auroc/flipped: that of training images with wrong labels against others,
      auroc/given: the same by one minus the probability of the given label;
      spearman: rank correlation with the disagreement of annotators,
      spearman/msp: that of one minus the highest probability;
      labels/changed, labels/right: shares of training labels that the member
      has changed, and that are right at the end.
      None where undefined: AUROCs without both groups, correlations of
      constants. Ties are averaged (`metrics.selective`, `metrics.ood`).
  """
  probs = scipy.special.softmax(np.float64(found['test/logits'][m]), -1)
  doubt = np.asarray(found['test/uncertainty'][m], np.float64)
  where = truth.labelled
  metrics, curves = classification(truth.label, probs[where], doubt[where])
  metrics['best'] = float(found['best_score'][m])
  if truth.disagreement is not None:
    true, index = truth.disagreement
    metrics['spearman'] = correlation.spearman(doubt[index], true)
    top = 1 - probs.max(-1)
    metrics['spearman/msp'] = correlation.spearman(top[index], true)
  metrics |= _labels(truth, found, m)
  curves['histogram'] = _histogram(doubt)
  return {k: scores.finite(v) for k, v in metrics.items()}, curves


def classification(label, probs, doubt) -> tuple[dict, dict]:
  """Metrics and curves that need labels alone; see `member_metrics`.

  Args:
    label: int [F], classes.
    probs: [F, K].
    doubt: [F], higher is less certain.
  """
  right = probs.argmax(-1) == label
  nothing: Any = 0  # the annotation allows 'warn' alone
  f1 = sklearn.metrics.f1_score(
    label, probs.argmax(-1), average='macro', zero_division=nothing
  )
  metrics = {'acc': right.mean(), 'f1': f1}
  top = 1 - probs.max(-1)
  by_own = selective.rejection_curve(right, doubt)
  by_top = selective.rejection_curve(right, top)
  for rate in REJECTED:
    metrics[f'reject/{100 * rate:g}'] = by_own.at(rate)
    metrics[f'msp/{100 * rate:g}'] = by_top.at(rate)
  metrics |= {'area': by_own.area, 'msp/area': by_top.area}
  if 0 < right.sum() < len(right):
    metrics['auroc/error'] = ood.detect(doubt[right], doubt[~right]).auroc
    metrics['auroc/error/msp'] = ood.detect(top[right], top[~right]).auroc
  curve = [by_own.at(rate) for rate in CURVE]
  return metrics, {'rejection': curve}


def _labels(truth, found, m):
  chosen, drawn = truth.chosen, truth.members
  flipped = drawn.flipped[m]
  final, given = found['labels'][m], drawn.labels[m]
  metrics = {
    'labels/changed': np.mean((final != given)[chosen]),
    'labels/right': np.mean((final == drawn.clean)[chosen]),
  }
  wrong = flipped[chosen]
  if 0 < wrong.sum() < len(wrong):
    doubt = np.asarray(found['train/uncertainty'][m], np.float64)
    probs = scipy.special.softmax(np.float64(found['train/logits'][m]), -1)
    unlikely = 1 - np.take_along_axis(probs, given[chosen][:, None], 1)[:, 0]
    for name, score in (('flipped', doubt), ('given', unlikely)):
      metrics[f'auroc/{name}'] = ood.detect(score[~wrong], score[wrong]).auroc
  return metrics


def _histogram(doubt):
  """Counts of uncertainties that are brought to [0, 1] (Figures 5 and 6)."""
  low, high = doubt.min(), doubt.max()
  scaled = (doubt - low) / (high - low) if high > low else np.zeros(len(doubt))
  return np.histogram(scaled, BINS, (0, 1))[0]


def _curves(rows):
  return {
    key: np.mean([row[key] for row in rows], 0).round(6).tolist()
    for key in rows[0]
  }
