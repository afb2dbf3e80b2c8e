"""Scores a model of this package on FER+ and writes its card.

  python -m benchmarks.shipped --data DATA/ferplus_raw

`DATA/ferplus_raw` is FER+ prepared with `--option rule=raw` (docs/training.md).
PublicTest, the store's validation split, chose nothing of the model. The numbers
go to `emojax/weights/ferplus/scores.json`, tied to the weights by their SHA-256,
and from there into README.md: the tests make the card again from both. How much
rare classes are favoured is chosen on the faces that chose the epochs.
"""

import argparse
import hashlib
import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict
from sklearn.metrics import balanced_accuracy_score, confusion_matrix

import emojax
from emojax import experiments
from emojax.data.clips import evaluation_sets
from emojax.data.readers import ferplus_rules
from emojax.evaluation import votes
from emojax.trained import card, folder, front_matter, reevaluation, shipped

SPLIT = 'validation'  # FER+ calls it PublicTest
# FER2013 was given out for research; whose terms hold for weights is not settled.
LICENSE = {'license': 'other', 'license_name': 'apache-2.0-with-fer2013-terms'}
SCORES, ABOUT = 'scores.json', 'about.md'
ROWS = {
  'hard/acc': 'accuracy (majority of the votes)',
  'class_accuracy': 'mean of the classes’ accuracies',
  'hard/nll': 'NLL of the majority',
  'hard/ece': 'calibration error of the majority (ECE)',
  'vote/nll': 'NLL of the votes',
  'vote/kl': 'KL divergence of the prediction from the votes',
  'vote/spearman/total': 'Spearman, predicted against the votes’ entropy',
}
FAVOURED = ('accuracy', 'class_accuracy')
RARE = ('disgust', 'contempt')
POWERS = tuple(i / 10 for i in range(11))  # of `answers(favour_rare=...)`


def measure(name: str, data: str) -> dict[str, Any]:
  """Scores of single members (mean) and of the ensemble.

  Args:
    name: A model of this package.
    data: Folder of FER+, prepared with rule=raw.
  """
  model = emojax.load(name)
  output, share, kept, sample = _answered(model, _public_test(model, data))
  members = output.members['expr'][:, kept]
  answers = members.mean(0)[sample.labelled].argmax(1)
  weights = (shipped.FOLDER / name / folder.WEIGHTS).read_bytes()
  single = [_scores(sample, one[None]) for one in members]
  return {
    'weights': hashlib.sha256(weights).hexdigest(),
    'faces': len(kept),
    'with_majority': len(sample.label),
    'single': {key: float(np.mean([s[key] for s in single])) for key in ROWS},
    'ensemble': _scores(sample, members),
    'favour_rare': _favoured(model, sample, members, _power(model, data)),
    'sets': {
      str(level): _held(model.sets(output, level)['expr'][kept], share)
      for level in model.metadata['conformal']['coverages']
    },
    'confusion': confusion_matrix(
      sample.label, answers, labels=range(share.shape[1])
    ).tolist(),
  }


def _public_test(model, data: str):
  """Clips of the test split, faces without a majority included."""
  settings = ConfigDict(model.metadata['config']['data'])
  settings.path = data
  clips = evaluation_sets.open_split(settings, SPLIT).clips
  return clips.take(np.arange(len(clips)))


def _sample(ballots: np.ndarray, share: np.ndarray) -> votes.Sample:
  """Faces with votes [F, 10], and the majority of those that have one."""
  found = [ferplus_rules.target(one, 'majority') for one in ballots]
  labelled = [i for i, target in enumerate(found) if target is not None]
  return votes.Sample(
    counts=np.ones((1, len(ballots))),
    votes=share,
    labelled=np.array(labelled),
    label=np.array([found[i].argmax() for i in labelled]),
    outside={},
  )


def _scores(sample: votes.Sample, probs: np.ndarray) -> dict[str, float]:
  """Scores of the mean of probabilities [S, F, E]."""
  found = {
    k: float(v[0]) for k, v in votes.statistics(sample, probs, {}).items()
  }
  answers = probs.mean(0)[sample.labelled].argmax(1)
  found['class_accuracy'] = balanced_accuracy_score(sample.label, answers)
  return {key: found[key] for key in ROWS}


def _answered(model, clips):
  """What a model says of faces: (output, shares, which have votes, sample)."""
  output = model.predict(clips.image[:, 0], batch=64)
  classes = model.schema[0].labels
  share, kept = votes.shares(clips.votes[:, 0], len(classes))
  return output, share, kept, _sample(clips.votes[kept, 0], share)


def _power(model, data: str) -> float:
  """The largest one that costs no accuracy on the faces that chose the epochs."""
  config = ConfigDict(model.metadata['config'])
  reevaluation.complete(config.data)
  config.data.path = data
  clips = experiments.trained(config.experiment).held_out(config)['val']
  clips = clips.take(np.arange(len(clips)))
  output, _, kept, sample = _answered(model, clips)
  probs = output.probabilities['expr'][kept]
  right = {p: _accuracies(model, sample, probs, p)['accuracy'] for p in POWERS}
  return max(power for power in POWERS if right[power] >= right[0.0])


def _favoured(
  model, sample, members: np.ndarray, power: float
) -> dict[str, Any]:
  """Accuracies by power, of the ensemble; at the chosen one of single members too."""
  single = [_accuracies(model, sample, one, power) for one in members]
  return {
    'power': power,
    'single': {k: float(np.mean([s[k] for s in single])) for k in FAVOURED},
    'ensemble': {
      f'{p:g}': _accuracies(model, sample, members.mean(0), p)
      for p in sorted({0.0, power, 0.5, 1.0})
    },
  }


def _accuracies(
  model, sample: votes.Sample, probs: np.ndarray, power: float
) -> dict[str, Any]:
  """Of the answers of probabilities [F, E]; `found` counts right ones by class."""
  task = model.schema[0]
  scores = model.favoured(task, probs[sample.labelled], power)
  right = scores.argmax(1) == sample.label
  return {
    'accuracy': float(right.mean()),
    'class_accuracy': float(
      balanced_accuracy_score(sample.label, scores.argmax(1))
    ),
    'found': np.bincount(
      sample.label[right], minlength=len(task.labels)
    ).tolist(),
  }


def _held(sets: np.ndarray, share: np.ndarray) -> list[float]:
  """[share of the votes that the sets hold, mean number of classes in them]."""
  return [float((sets * share).sum(1).mean()), float(sets.sum(1).mean())]


def render(name: str) -> str:
  """The card: what exports say, `scores.json`, and `about.md`."""
  where = shipped.FOLDER / name
  metadata = json.loads((where / folder.METADATA).read_text())
  scores = json.loads((where / SCORES).read_text())
  weights = folder.read_weights(where, metadata)
  text = card.render(
    metadata,
    None,
    sum(array.size for array in jax.tree.leaves(weights)),
    numbers=_tables(scores, metadata['schema'][0]['labels']),
    load=f"emojax.load('{name}')",
    measured=front_matter.Measured(
      'FER+',
      'PublicTest',
      [
        front_matter.Score(key, title, scores['ensemble'][key])
        for key, title in ROWS.items()
      ],
    ),
    license=LICENSE,
  )
  return text + (where / ABOUT).read_text()


def _tables(scores: dict[str, Any], classes: Sequence[str]) -> str:
  rare = scores['favour_rare']
  return '\n'.join(
    [
      f'On FER+ PublicTest, {scores["faces"]:,} faces, of which '
      f'{scores["with_majority"]:,} have a majority (FER+’s rule); predictions over '
      'a face and its mirror image.',
      '',
      '| | single (mean) | ensemble |',
      '|---|---:|---:|',
      *(
        f'| {title} | {scores["single"][key]:.3f} | {scores["ensemble"][key]:.3f} |'
        for key, title in ROWS.items()
      ),
      '',
      f'Answers with rare classes favoured; {rare["power"]:g} is the largest tenth that '
      'costs no accuracy on the faces that chose the epochs (here one network has '
      '{accuracy:.3f} and {class_accuracy:.3f} with it).'.format(
        **rare['single']
      ),
      '',
      f'| `favour_rare`, ensemble | accuracy | mean of the classes | {RARE[0]} | '
      f'{RARE[1]} |',
      '|---:|---:|---:|---:|---:|',
      *(
        f'| {power} | {one["accuracy"]:.3f} | {one["class_accuracy"]:.3f} | '
        + ' | '.join(str(one['found'][classes.index(name)]) for name in RARE)
        + ' |'
        for power, one in rare['ensemble'].items()
      ),
      '',
      '| sets | share of the votes in them | mean size |',
      '|---|---:|---:|',
      *(
        f'| `sets(output, {level})` | {held:.3f} | {size:.2f} |'
        for level, (held, size) in scores['sets'].items()
      ),
      '',
      '| the ensemble, by majority | faces | found (recall) | right (precision) | '
      'otherwise mostly |',
      '|---|---:|---:|---:|---|',
      *_by_class(np.array(scores['confusion']), classes),
    ]
  )


def _by_class(confusion: np.ndarray, classes: Sequence[str]) -> Iterator[str]:
  """Rows of a table; `confusion` counts faces by [label, answer]."""
  for i, name in enumerate(classes):
    right, count, answered = (
      confusion[i, i], confusion[i].sum(), confusion[:, i].sum()
    )  # fmt: skip
    wrong = np.where(np.arange(len(classes)) == i, 0, confusion[i])
    precision = f'{right / answered:.3f}' if answered else '–'
    yield (
      f'| {name} | {count} | {right / count:.3f} | {precision} | '
      f'{classes[wrong.argmax()]} ({wrong.max()}) |'
    )


def main():
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--model', default='ferplus', choices=shipped.names())
  parser.add_argument('--data', required=True, help='FER+, rule=raw')
  found = parser.parse_args()
  where: pathlib.Path = shipped.FOLDER / found.model
  scores = measure(found.model, found.data)
  (where / SCORES).write_text(json.dumps(scores, indent=1) + '\n')
  (where / folder.CARD).write_text(render(found.model))
  print((where / folder.CARD).read_text())


if __name__ == '__main__':
  main()
