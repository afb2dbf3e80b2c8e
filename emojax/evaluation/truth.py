"""Comparison with the posteriors that the labels were drawn from.

Only procedural data know them. Scoring p* itself with the same metrics gives
the optimum that no model's expected NLL (or RMSE) is below. It is not the
optimum of F1 or CCC, whose best predictors are other functions of p*.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np

from emojax import tasks
from emojax.evaluation import scores
from emojax.evaluation.frames import Frames
from emojax.metrics import correlation, divergence

T = TypeVar('T')


def known(posteriors: T | None) -> T:
  """What is asked of data that know p*; ValueError of others."""
  if posteriors is None:
    raise ValueError('these data do not know the posteriors of their labels')
  return posteriors


def optimum(
  schema: tasks.Schema, frames: Mapping[str, Frames], bin_values
) -> dict[str, Any]:
  """Metrics of the Bayes-optimal predictor p*.

  Returns:
    `metrics` as of any model, and `entropy`: task -> mean entropy of p* in
    nats over the frames with a label, the expectation of its NLL where no other
    label of these frames is missing.
  """
  metrics, entropies = {}, {}
  for task in schema:
    found = frames[task.name]
    best = known(found.truth)
    metrics |= scores.task_metrics(task, best, found.target, bin_values)
    entropy = divergence.posterior_entropy(task, best)
    entropies[task.name] = float(entropy.mean())
  return {'metrics': scores.add_total(metrics, schema), 'entropy': entropies}


def distance(
  task: tasks.Task,
  probs: np.ndarray,
  truth: np.ndarray,
  metrics: scores.Metrics,
  best: scores.Metrics,
) -> scores.Metrics:
  """Distance of one set of probabilities from p*.

  Args:
    task: The task.
    probs: Predictions of the labelled frames.
    truth: p* of the same frames.
    metrics: The predictions' metrics.
    best: Metrics of p*.

  Returns:
    `kl`: mean KL(p* || p) in nats, the expected excess NLL; `excess_nll` (or
    `excess_rmse/<label>`): the excess on the labels that were drawn.
  """
  found = {'kl': scores.finite(divergence.excess_nll(task, truth, probs))}
  keys = ['nll']
  if task.kind == 'binned':
    keys = [f'rmse/{label}' for label in task.labels]
  for key in keys:
    here, least = (x.get(f'{task.name}/{key}') for x in (metrics, best))
    found[f'excess_{key}'] = (
      None if here is None or least is None else here - least
    )
  return found


def rank_correlation(predicted: np.ndarray, true: np.ndarray) -> float | None:
  """Spearman correlation over frames; None where undefined."""
  if len(true) < 2:
    return None
  return scores.finite(correlation.spearman(predicted, true))
