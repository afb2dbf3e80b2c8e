"""Which networks know what annotators disagree on? CIFAR-10, judged by CIFAR-10H.

  python -m benchmarks.cifar10h runs/cifar10h --source DOWNLOADS \
    --out docs/results/cifar10h.md
  python -m benchmarks.cifar10h runs/cifar10h --source DOWNLOADS --train \
    --out docs/results/cifar10h.md

The first line says what 51 votes allow a perfect predictor, what is finished and
what the rest takes; it writes the tables of what there is between the markers of a
page. The second one does the rest, and goes on where it was stopped: data sets with
the labels of CIFAR-10 and with those of CIFAR-10N, and for each seed teachers and
students by configs/cifar10h.py, and as many networks with label smoothing, mixup,
averaged weights and human labels.

DOWNLOADS has CIFAR-10, CIFAR-10N and CIFAR-10H (docs/datasets.md#cifar10); there may be
fewer batches than five. Votes are of test images alone, and nothing is chosen on
these.
"""

import argparse
import dataclasses
import pathlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from benchmarks import ferplus_controls, planned_runs, tables, vote_scores
from benchmarks.planned_runs import Planned
from benchmarks.vote_scores import (
  ACCURACY,
  JENSEN_SHANNON,
  KL,
  NLL,
  SPEARMAN,
  TOTAL_VARIATION,
  VOTE_ECE,
  VOTE_NLL,
)
from emojax.data.readers.files import arrays
from emojax.evaluation import votes

CONFIG = 'configs/cifar10h.py'
MEMBERS, GENERATIONS = 3, 1
# Of one core, for a training of the configuration (docs/training.md).
MINUTES = 6.5
CLEAN, CHAIN = 'clean', 'chain'
ALONE = {'generations': 0, 'eval.mc_samples': 0}


class Kind(NamedTuple):
  """Networks that are trained alike.

  Attributes:
    title: Of their row.
    settings: Their own.
    labels: Of the training images: `CLEAN`, or of CIFAR-10N.
  """

  title: str
  settings: Mapping[str, Any]
  labels: str = CLEAN


KINDS = {
  'smoothing': Kind('label smoothing 0.1', {'loss.label_smoothing': 0.1}),
  'mixup': Kind('mixup 0.2', {'train.mixup': 0.2}),
  'ema': Kind('averaged weights', {'train.ema': 0.999}),
  'aggregate': Kind('majority of three humans', {}, 'aggregate'),
  'random1': Kind('labels of one human', {}, 'random1'),
}
NAMES = {
  'teachers': 'one label an image',
  'scaled': 'temperature of the validation labels',
  'passes': 'MC dropout',
  **{name: kind.title for name, kind in KINDS.items()},
}
HUMAN = ('aggregate', 'random1')
RIVALS = tuple(name for name in NAMES if name not in HUMAN)
COLUMNS = (
  VOTE_NLL, KL, JENSEN_SHANNON, TOTAL_VARIATION, SPEARMAN, VOTE_ECE, ACCURACY,
  NLL,
)  # fmt: skip
STRATA = ('all agree', 'least', 'middle', 'most')
BY_STRATUM = (KL, TOTAL_VARIATION, VOTE_ECE)
FREE = (
  'seed', 'data.seed', 'data.path', 'generations', 'eval.', 'runtime.', 'distill.',
  'loss.label_smoothing', 'train.ema', 'train.mixup',
)  # fmt: skip
Found = Mapping[str, Mapping[int, vote_scores.Run]]
Answers = Mapping[tuple[str, int], np.ndarray]


def plan(
  folder: pathlib.Path, source: str, seeds: Sequence[int]
) -> list[Planned]:
  """Everything that is to be done, in order.

  Args:
    folder: Of runs and prepared data.
    source: CIFAR-10, CIFAR-10N and CIFAR-10H, as downloaded.
    seeds: One for each chain; they draw validation images, too.
  """
  labels = dict.fromkeys([CLEAN, *(kind.labels for kind in KINDS.values())])
  made = [_prepared(folder, source, name) for name in labels]
  for seed in seeds:
    both = {'seed': seed, 'data.seed': seed}
    settings = {'data.path': made[0].path} | both
    networks, path = MEMBERS * (1 + GENERATIONS), folder / f'{CHAIN}-{seed}'
    made.append(planned_runs.run(path, CONFIG, networks, settings))
    for name, kind in KINDS.items():
      data = _prepared(folder, source, kind.labels).path
      settings = {'data.path': data} | both | ALONE | kind.settings
      path = folder / f'{name}-{seed}'
      made.append(planned_runs.run(path, CONFIG, MEMBERS, settings))
  return made


def _prepared(folder: pathlib.Path, source: str, labels: str) -> Planned:
  path = folder / 'data' / labels
  where = ('--source', source, '--out', str(path), '--size', '32')
  human = () if labels == CLEAN else ('--option', f'noise={labels}')
  command = ('emojax.data.prepare', 'cifar10', *where, *human)
  return Planned(path, command, 0, 'emojax.json')


def runs(folder: pathlib.Path) -> Found:
  """Finished runs of a folder: kind -> seed -> run; {} without a chain.

  Raises:
    ValueError: If they cannot be compared.
  """
  found: dict[str, dict[int, vote_scores.Run]] = {}
  for kind in (CHAIN, *KINDS):
    for path in sorted(folder.glob(f'{kind}-*')):
      seed = path.name.removeprefix(f'{kind}-')
      if seed.isdigit() and (path / 'results.json').is_file():
        found.setdefault(kind, {})[int(seed)] = vote_scores.read(path)
  if CHAIN not in found:
    return {}
  every = [one for kind in found.values() for one in kind.values()]
  vote_scores.check(every, FREE)
  return found


def answers(found: Found) -> Answers:
  """Predictions [M, F, E] by row and seed."""
  return dict(_answers(found))


def _answers(found: Found) -> Iterator[tuple[tuple[str, int], np.ndarray]]:
  for seed, run in found[CHAIN].items():
    first, *students = run.results['names']
    yield ('teachers', seed), run.probabilities(first)
    yield ('scaled', seed), run.probabilities(first, vote_scores.LABELS)
    yield ('passes', seed), run.sampled(first)
    for name in students:
      yield (name, seed), run.probabilities(name)
  for kind in KINDS:
    for seed, run in found.get(kind, {}).items():
      yield (kind, seed), run.probabilities(run.results['names'][0])


def scores(
  said: Answers, scorer: vote_scores.Scorer, images=slice(None)
) -> dict[str, dict[int, vote_scores.Scores]]:
  """Scores by row ('single teachers') and seed.

  Args:
    said: Predictions of all test images.
    scorer: Of some of them.
    images: Which, [F].
  """
  made: dict[str, dict[int, vote_scores.Scores]] = {}
  for (name, seed), probs in said.items():
    chosen = probs[:, images]
    for kind, score in zip(
      ferplus_controls.KINDS, (scorer.singles, scorer.ensemble), strict=True
    ):
      made.setdefault(f'{kind} {name}', {})[seed] = score(chosen)
  return made


def by_strata(
  said: Answers, share: np.ndarray, label: np.ndarray, replicates: int
) -> list[tables.Table]:
  """A table for each score: rows as ever, columns by disagreement."""
  groups = [
    (name, images)
    for name, images in zip(
      STRATA, votes.strata(share, len(STRATA) - 1), strict=True
    )
    if len(images)
  ]
  found = []
  for _, images in groups:
    scorer = vote_scores.Scorer(
      share[images], label[images], replicates, wanted=BY_STRATUM
    )
    found.append(scores(said, scorer, images))
  columns = ['', *(f'{name} ({len(images):,})' for name, images in groups)]
  note = (
    'Test images (their number in brackets) that all annotators agree on, and the '
    'others in three groups by the entropy of their votes. Mean over chains, ± as '
    'above.'
  )
  return [
    tables.Table(
      f'{key}, by disagreement',
      columns,
      [_stratum_row(row, found, groups, key) for row in found[0]],
      [note],
    )
    for key in BY_STRATUM
  ]


def _stratum_row(row: str, found, groups, key: str) -> list[str]:
  kind, name = row.split(' ', 1)
  cells = [
    vote_scores.over_chains(
      [one[key] for one in by_row[row].values()], len(images)
    )
    .signed()
    .lstrip('+')
    for by_row, (_, images) in zip(found, groups, strict=True)
  ]
  return [f'{NAMES.get(name, name)}, {kind}', *cells]


def ballots(source: pathlib.Path) -> np.ndarray:
  """CIFAR-10H's votes of all test images, int [F, 10]."""
  return np.asarray(arrays.load_npy(source / 'cifar10h-counts.npy'), int)


def limits(counts: np.ndarray) -> tables.Table:
  """What a perfect predictor reaches, and how many images leave no doubt."""
  made = vote_scores.limits(counts, 0, 'test images')
  plain = int((np.count_nonzero(counts, axis=1) == 1).sum())
  notes = [*made.notes, f'{plain:,} of them have all votes on one class.']
  return dataclasses.replace(made, notes=notes)


def report(
  folder: pathlib.Path,
  source: pathlib.Path,
  every: Sequence[Planned],
  replicates: int,
) -> list[tables.Table]:
  """All tables of what there is."""
  made = [limits(ballots(source))]
  found = runs(folder)
  if not found:
    return made
  first = next(iter(found[CHAIN].values()))
  share, label, size = first.test.share, first.label, len(first.label)
  said = answers(found)
  scorer = vote_scores.Scorer(share, label, replicates, wanted=COLUMNS)
  chains = scores(said, scorer)
  rows = [*first.results['names'][1:], *HUMAN]
  rows = [name for name in rows if f'single {name}' in chains]
  claims = ferplus_controls.claims(chains, rows, size, NAMES, RIVALS)
  claims = ferplus_controls.gated(found, claims, (CHAIN, *KINDS))
  levels = ferplus_controls.levels(chains, size, NAMES, COLUMNS)
  notes = [*levels.notes, planned_runs.cost(every)]
  return [
    *made,
    dataclasses.replace(levels, notes=notes),
    ferplus_controls.decisions(claims),
    *by_strata(said, share, label, replicates),
  ]


def parser() -> argparse.ArgumentParser:
  """The command line."""
  made = planned_runs.parser('benchmarks.cifar10h', __doc__, MINUTES)
  text = 'folder of CIFAR-10, CIFAR-10N and CIFAR-10H'
  made.add_argument('--source', required=True, help=text)
  return made


def main(arguments: Sequence[str]) -> int:
  """Returns the exit code; see the module's docstring."""
  asked = parser().parse_args(arguments)
  every = plan(asked.runs, asked.source, range(asked.seeds))

  def tell():
    source = pathlib.Path(asked.source)
    return report(asked.runs, source, every, asked.replicates)

  return planned_runs.follow(asked, every, tell)


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
