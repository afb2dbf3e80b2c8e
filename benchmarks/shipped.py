"""Scores a model of this package on FER+ and writes its card.

  python -m benchmarks.shipped --data DATA/ferplus_raw

`DATA/ferplus_raw` is FER+ prepared with `--option rule=raw` (docs/training.md).
PublicTest, the store's validation split, chose nothing of the model. The numbers
go to `emojax/weights/ferplus/scores.json`, tied to the weights by their SHA-256,
and from there into README.md: the tests make the card again from both.
"""

import argparse
import hashlib
import json
import pathlib
from typing import Any

import numpy as np
from ml_collections import ConfigDict

import emojax
from emojax.data.clips import evaluation_sets
from emojax.data.readers import ferplus_rules
from emojax.evaluation import votes
from emojax.metrics import calibration, correlation
from emojax.trained import card, folder, shipped

SPLIT = 'validation'  # FER+ calls it PublicTest
SCORES, ABOUT = 'scores.json', 'about.md'
ROWS = {
  'accuracy': 'accuracy (majority of the votes)',
  'class_accuracy': 'mean of the classes’ accuracies',
  'nll': 'NLL of the majority',
  'vote_nll': 'NLL of the votes',
  'kl': 'KL divergence of the prediction from the votes',
  'spearman': 'Spearman, predicted against the votes’ entropy',
}


def measure(name: str, data: str) -> dict[str, Any]:
  """Scores of single members (mean) and of the ensemble.

  Args:
    name: A model of this package.
    data: Folder of FER+, prepared with rule=raw.
  """
  model = emojax.load(name)
  classes = model.schema[0].labels
  settings = ConfigDict(model.metadata['config']['data'])
  settings.path = data
  clips = evaluation_sets.open_split(settings, SPLIT).clips
  clips = clips.take(np.arange(len(clips)))
  output = model.predict(clips.image[:, 0], batch=64)
  found = output.members['expr']
  share, kept = votes.shares(clips.votes[:, 0], len(classes))
  targets = [ferplus_rules.target(v, 'majority') for v in clips.votes[kept, 0]]
  label = np.array([-1 if t is None else t.argmax() for t in targets])
  single = [_scores(one[kept], share, label) for one in found]
  ensemble = _scores(found.mean(0)[kept], share, label)
  weights = (shipped.FOLDER / name / folder.WEIGHTS).read_bytes()
  return {
    'weights': hashlib.sha256(weights).hexdigest(),
    'faces': len(kept),
    'with_majority': int((label >= 0).sum()),
    'single': {k: float(np.mean([s[k] for s in single])) for k in ROWS},
    'ensemble': {k: ensemble[k] for k in ROWS},
    'sets': {
      str(level): _coverage(model.sets(output, level)['expr'][kept], share)
      for level in model.metadata['conformal']['coverages']
    },
    'classes': {
      name: [int((label == i).sum()), *ensemble['by_class'][i]]
      for i, name in enumerate(classes)
    },
  }


def _coverage(sets: np.ndarray, share: np.ndarray) -> list[float]:
  """[share of the votes that the sets hold, mean number of classes in them]."""
  return [float((sets * share).sum(1).mean()), float(sets.sum(1).mean())]


def _scores(probs, share, label) -> dict[str, Any]:
  known = label >= 0
  answer = probs.argmax(1)
  nll = votes.cross_entropy(share, probs)
  true = np.round(votes.entropy(share), 9)
  classes = range(probs.shape[1])
  recall = [float((answer[label == i] == i).mean()) for i in classes]
  chosen = [known & (answer == i) for i in classes]
  precision = [
    float((label[rows] == i).mean()) if rows.any() else None
    for i, rows in enumerate(chosen)
  ]
  hard = np.eye(probs.shape[1])[label[known]]
  return {
    'accuracy': float((answer == label)[known].mean()),
    'class_accuracy': float(np.mean(recall)),
    'nll': calibration.categorical_nll(probs[known], hard, np.ones(len(hard))),
    'vote_nll': float(nll.mean()),
    'kl': float((nll - true).mean()),
    'spearman': correlation.spearman(votes.entropy(probs), true),
    'by_class': list(zip(recall, precision)),
  }


def render(name: str) -> str:
  """The card: what exports say, `scores.json`, and `about.md`."""
  where = shipped.FOLDER / name
  metadata = json.loads((where / folder.METADATA).read_text())
  scores = json.loads((where / SCORES).read_text())
  arrays = folder.read_weights(where, metadata)
  text = card.render(metadata, None, _size(arrays)).replace(
    "emojax.load('.')  # this folder", f"emojax.load('{name}')"
  )
  head, tail = text.split(card.UNFINISHED)
  return head + _tables(scores) + tail + (where / ABOUT).read_text()


def _size(tree) -> int:
  if isinstance(tree, dict):
    return sum(_size(branch) for branch in tree.values())
  return tree.size


def _tables(scores: dict[str, Any]) -> str:
  lines = [
    f'On FER+ PublicTest, {scores["faces"]:,} faces, of which '
    f'{scores["with_majority"]:,} have a majority (FER+’s rule); predictions over '
    'a face and its mirror image.',
    '',
    '| | single (mean) | ensemble |',
    '|---|---:|---:|',
  ]
  for key, title in ROWS.items():
    one, all_of_them = scores['single'][key], scores['ensemble'][key]
    lines.append(f'| {title} | {one:.3f} | {all_of_them:.3f} |')
  lines += [
    '',
    '| sets | share of the votes in them | mean size |',
    '|---|---:|---:|',
  ]
  for level, (covered, size) in scores['sets'].items():
    lines.append(f'| `sets(output, {level})` | {covered:.3f} | {size:.2f} |')
  lines += [
    '',
    '| the ensemble, by class | faces | found (recall) | right (precision) |',
    '|---|---:|---:|---:|',
  ]
  for name, (count, recall, precision) in scores['classes'].items():
    right = '–' if precision is None else f'{precision:.3f}'
    lines.append(f'| {name} | {count} | {recall:.3f} | {right} |')
  return '\n'.join(lines)


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
  print(_tables(scores))


if __name__ == '__main__':
  main()
