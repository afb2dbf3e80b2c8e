"""From the predictions of all methods to results.json and curves.json."""

import dataclasses
from typing import Any

import numpy as np

from emojax import uncertainty
from emojax.evaluation import Predictions, coverage_generation
from emojax.evaluation import votes as votes_lib
from emojax.experiments.bayesian import comparison, sampling, scores
from emojax.experiments.bayesian.faces import TASK, Faces
from emojax.experiments.bayesian.sampling import Draws
from emojax.experiments.bayesian.scores import Judges
from emojax.metrics import correlation, ood

FORMAT = 'emojax-bayesian-1'
LARGEST = 15  # samples of a draw, as in the paper
SHOWN = (1, 5, 10, 15)
MOST_UNCERTAIN = 5

Json = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Setting:
  """How predictions are evaluated.

  Attributes:
    draws: Random draws of samples, for each network.
    replicates: Bootstrap replicates of the faces.
    seed: Seed of both.
  """

  draws: int
  replicates: int
  seed: int


def judges_of(faces: Faces) -> Judges:
  """Labels and votes of the faces that are scored."""
  value, mask = faces.clips.targets[TASK]
  if not mask.any():
    raise ValueError(
      f'{faces.dataset.name}: no face of the {faces.split} split has a label; '
      'choose another config.data.eval_rule'
    )
  return Judges(faces.dataset.schema[0], value[:, 0], mask[:, 0], faces.votes)


def pools(prediction: Predictions, method: str, key: str) -> list[np.ndarray]:
  """Pools [P, F, E] of a set of images, one for each network that is sampled.

  The members of an ensemble are one pool; otherwise each network has its own
  passes.
  """
  task = prediction.schema[0]
  if method == 'ensemble':
    logits = prediction.logits[key][TASK][None]
  else:
    logits = prediction.mc[key][TASK]
  probs = uncertainty.probabilities(task, np.float64(logits[..., 0, :]))
  return list(probs)


def study(
  prediction: Predictions,
  method: str,
  faces: Faces,
  judges: Judges,
  setting: Setting,
) -> tuple[Json, Json]:
  """Evaluates one method on one network.

  Returns:
    (results, curves). Results: what `sampling.curves` returns, `change` and
    `rival`: see `comparison.compare`, `best`: sizes with the least error and
    calibration error, `deterministic`: scores of the networks without noise, mean
    over them (MC methods only), `networks`: error of the single networks without
    noise, see `errors`, `uncertainty`: see `decomposition`, `sets`: see
    `coverage_generation.of_stack`, without noise, as models have them. Curves:
    `reliability` at both best sizes and `uncertain`: see `most_uncertain`.
  """
  members = [
    sampling.make_draws(pool, LARGEST, setting.draws, setting.seed)
    for pool in pools(prediction, method, faces.split)
  ]
  foreign = {
    name: pools(prediction, method, f'ood/{name}') for name in faces.dataset.ood
  }
  found = sampling.curves(members, judges, foreign)
  alone = _noiseless(prediction, faces.split)
  found['networks'] = errors(alone, judges)
  singles = None
  if method != 'ensemble':
    singles = alone
    found['deterministic'] = _deterministic(singles, judges)
  found['change'], found['rival'] = comparison.compare(
    members, judges, singles, setting.seed, setting.replicates
  )
  best = {
    name: found['sizes'][int(np.argmin(found['mean'][name]))]
    for name in ('error', 'ece')
  }
  found |= {'members': len(members), 'pool': len(members[0].pool)}
  found |= {'best': best, 'epochs': [int(e) for e in prediction.epochs]}
  found['uncertainty'] = decomposition(members, judges, foreign)
  found['sets'] = coverage_generation.of_stack(
    prediction, faces.known, faces.split, setting.seed
  )
  drawn = {
    'reliability': {
      name: sampling.reliability(members, judges, size)
      for name, size in best.items()
    },
    'uncertain': most_uncertain(members[0].pool, judges, faces.clips.clip_id),
  }
  return found, drawn


def _noiseless(prediction: Predictions, key: str) -> np.ndarray:
  """Predictions [M, F, E] of the networks without dropout or DropConnect."""
  logits = np.float64(prediction.logits[key][TASK][:, :, 0])
  return uncertainty.probabilities(prediction.schema[0], logits)


def errors(probs: np.ndarray, judges: Judges) -> Json:
  """Error of networks that predict alone.

  Args:
    probs: [M, F, E].
    judges: Labels.

  Returns:
    `error`, their mean, and `std`, their standard deviation; None for one network.
  """
  known = judges.labelled > 0
  label = judges.label[known].argmax(-1)
  found = (probs[:, known].argmax(-1) != label).mean(-1)
  std = float(found.std(ddof=1)) if len(found) > 1 else None
  return {'error': float(found.mean()), 'std': std}


def _deterministic(probs: np.ndarray, judges: Judges) -> Json:
  rows = [scores.score(one, judges) for one in probs]
  return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def decomposition(
  members: list[Draws], judges: Judges, foreign: dict[str, list[np.ndarray]]
) -> dict[str, dict[str, float | None]]:
  """Total, aleatoric and epistemic uncertainty of as many samples as go.

  Returns:
    By kind: `mean` (normalised entropy), `votes`: Spearman correlation with the
    entropy of the votes, `error`: AUROC of telling wrong from right labels, and
    `ood/<name>`: AUROC of telling foreign images; means over the networks.
  """
  rows: dict[str, list[Json]] = {}
  for number, draws in enumerate(members):
    size = draws.orders.shape[1]
    probs = draws.pool[:size]
    inside = uncertainty.decompose(probs)
    outside = {
      name: uncertainty.decompose(found[number][:size])
      for name, found in foreign.items()
    }
    wrong = probs.mean(0).argmax(-1) != judges.label.argmax(-1)
    for kind, value in inside._asdict().items():
      others = {k: getattr(other, kind) for k, other in outside.items()}
      rows.setdefault(kind, []).append(_kind(value, others, wrong, judges))
  return {
    kind: {key: _mean([row[key] for row in found]) for key in found[0]}
    for kind, found in rows.items()
  }


def _kind(value, others, wrong, judges: Judges) -> Json:
  row: dict[str, float | None] = {'mean': float(value.mean())}
  if judges.votes is not None:
    voted = judges.votes.sum(-1) > 0
    doubt = scores.vote_entropy(judges.votes[voted])
    row['votes'] = correlation.spearman(value[voted], doubt)
  known = judges.labelled > 0
  right, false = value[known & ~wrong], value[known & wrong]
  row['error'] = None
  if len(right) and len(false):
    row['error'] = ood.detect(right, false).auroc
  return row | {
    f'ood/{name}': ood.detect(value, other).auroc
    for name, other in others.items()
  }


def _mean(values) -> float | None:
  values = [v for v in values if v is not None and np.isfinite(v)]
  return float(np.mean(values)) if values else None


def most_uncertain(pool: np.ndarray, judges: Judges, names) -> list[Json]:
  """The faces about which all samples together are least certain (Figure 4).

  Args:
    pool: [P, F, E]; the first samples are taken, in their order.
    judges: Labels and votes.
    names: Names of the faces.

  Returns:
    By face: `index`, `clip_id`, `entropy` (nats), `votes` or None, `label` (a
    name, or None) and `probs`: number of samples -> distribution.
  """
  sizes = [n for n in SHOWN if n <= len(pool)]
  doubt = votes_lib.entropy(pool[: min(LARGEST, len(pool))].mean(0))
  found = []
  for index in np.argsort(-doubt, kind='stable')[:MOST_UNCERTAIN]:
    votes = None if judges.votes is None else judges.votes[index].tolist()
    label = judges.task.labels[int(judges.label[index].argmax())]
    found.append(
      {
        'index': int(index),
        'clip_id': str(names[index]),
        'entropy': float(doubt[index]),
        'label': label if judges.labelled[index] else None,
        'votes': votes,
        'probs': {
          str(n): pool[:n, index].mean(0).round(6).tolist() for n in sizes
        },
      }
    )
  return found


def votes_as_predictions(judges: Judges) -> Json | None:
  """Scores of the votes themselves, as if they were predictions.

  On faces with votes and a label. No predictor of the votes can do better
  against them; against labels this is what the most faithful one gets.
  """
  if judges.votes is None:
    return None
  both = (judges.votes.sum(-1) > 0) & (judges.labelled > 0)
  if not both.any():
    return None
  return scores.score(judges.votes[both], judges.take(both))


def results(faces: Faces, config_facts: Json, studies: Json) -> Json:
  """results.json without timings.

  Args:
    faces: The data.
    config_facts: What of the configuration a reader must know.
    studies: Results by network and method.
  """
  judges = judges_of(faces)
  voted = None
  if judges.votes is not None:
    voted = int((judges.votes.sum(-1) > 0).sum())
  return {
    'format': FORMAT,
    'dataset': faces.dataset.name,
    'split': faces.split,
    'schema': [faces.dataset.schema[0].to_json()],
    'training_faces': len(faces.dataset.groups[TASK]),
    'scored_faces': len(faces.clips),
    'labelled_faces': int(judges.labelled.sum()),
    'voted_faces': voted,
    **config_facts,
    'studies': studies,
    'votes': votes_as_predictions(judges),
  }
