"""Do students match annotators better than what is simpler? Chains on FER+.

  python -m benchmarks.ferplus_controls runs/chains --data DATA/ferplus \
    --raw DATA/ferplus_raw --train --out docs/results/ferplus-controls.md

plans chains of teachers and students by configs/ferplus.py, one for each seed, and
beside each the runs that are its controls: as many networks on the same labels with
label smoothing, with an average of the weights, and twice as long; another control
is one temperature for each teacher, fitted to the votes for the validation faces.
Students "win" if they are better than the teachers and *every* control, in KL to
the votes *and* in the rank correlation of entropies. Without --train it says what
is finished and what the rest takes, and prints and writes (--out, between the
markers of a page) the tables of what is there. --raw adds networks that learned
from the votes themselves, which are no control but what there is to reach.

  ... --set model.width=0.25 --set ensemble.size=3 --set train.schedule=exponential \
    --set train.decay_every=9

changes the recipe of all of them, e.g. for less time (--minutes has to be told, too);
networks that train twice as long have a schedule of twice the length.
"""

import argparse
import math
import pathlib
import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from benchmarks import planned_runs, recipes, tables, vote_scores
from benchmarks.planned_runs import Planned
from benchmarks.vote_scores import COLUMNS, KL, LOWER_IS_BETTER, SPEARMAN
from emojax.experiments.distillation import findings
from emojax.report import verdicts
from emojax.report.estimates import Estimate
from emojax.report.verdicts import Claim

CONFIG = 'configs/ferplus.py'
CHAIN, RAW = 'chain', 'multinomial'
ALONE = {'generations': 0, 'eval.mc_samples': 0}
# Control -> its own settings, and how much longer it trains.
CONTROLS: dict[str, tuple[Mapping[str, Any], int]] = {
  'smoothing': ({'loss.label_smoothing': 0.1}, 1),
  'ema': ({'train.ema': 0.999}, 1),
  'longer': ({}, 2),
}
NAMES = {
  'smoothing': 'teachers, label smoothing 0.1',
  'ema': 'teachers, averaged weights',
  'longer': 'teachers, trained twice as long',
  'scaled': 'teachers, temperature of the votes',
  'teachers': 'teachers',
  RAW: 'trained on the votes',
}
RIVALS = ('teachers', 'scaled', *CONTROLS)
KINDS = ('single', 'ensemble')
LENGTHS = ('epochs', 'decay_every')  # of a schedule
FREE = (
  'seed', 'data.seed', 'data.path', 'data.unlabelled_train', 'generations',
  'eval.', 'runtime.', 'distill.', 'loss.label_smoothing', 'train.ema',
  *(f'train.{name}' for name in LENGTHS),
)  # fmt: skip
# Row -> score -> value of each chain over replicates, [1 + R] each; by seed.
Chains = Mapping[str, Mapping[int, vote_scores.Scores]]


def plan(
  folder: pathlib.Path,
  data: str,
  raw: str,
  seeds: Sequence[int],
  recipe: Mapping[str, str] = MappingProxyType({}),
) -> list[Planned]:
  """Runs of every chain.

  Args:
    folder: Of all runs.
    data: Prepared with majority labels.
    raw: Prepared with rule=raw; '' for none.
    seeds: One for each chain; they draw validation faces, too.
    recipe: Settings of all runs that are others than the configuration's.

  Raises:
    ValueError: If the recipe has settings that do not exist, mean nothing, or are
      what chains and controls differ in.
  """
  made = []
  config = _checked(recipe)
  members, generations = config.ensemble.size, config.generations
  students = config.distill.students or members
  # Students' settings mean nothing to those that have none.
  alone = {k: v for k, v in recipe.items() if not k.startswith('distill.')}
  for seed in seeds:
    own = {'data.path': data, 'seed': seed, 'data.seed': seed}
    both = {**recipe, **own}
    networks = members + students * generations
    path = folder / f'{CHAIN}-{seed}'
    made.append(planned_runs.run(path, CONFIG, networks, both))
    for control, (settings, times) in CONTROLS.items():
      changes = {**alone, **own, **ALONE, **settings}
      changes |= _stretched(config, times)
      path = folder / f'{control}-{seed}'
      networks = members * times
      made.append(planned_runs.run(path, CONFIG, networks, changes))
    if raw:
      changes = {**alone, **own, 'data.path': raw, 'eval.mc_samples': 0}
      changes.pop('generations', None)
      preset, path = f'{CONFIG}:{RAW}', folder / f'{RAW}-{seed}'
      made.append(planned_runs.run(path, preset, members, changes))
  return made


def _checked(recipe: Mapping[str, str]):
  """The configuration of a chain."""
  own = {name for settings, _ in CONTROLS.values() for name in settings}
  own |= {'seed', 'data.seed', 'data.path', 'eval.mc_samples'}
  config = recipes.checked(CONFIG, recipe, own)
  if config.generations < 1:
    raise ValueError('--set generations: a chain has students')
  return config


def _stretched(config, times: int) -> dict[str, int]:
  """A schedule of so many times the length, but for its warm-up; {} of the same."""
  if times == 1:
    return {}
  found = {'train.epochs': times * config.train.epochs}
  if config.train.schedule in ('step', 'exponential'):
    found['train.decay_every'] = times * config.train.decay_every
  return found


def runs(folder: pathlib.Path) -> dict[str, dict[int, vote_scores.Run]]:
  """Finished runs of a folder: kind -> seed -> run.

  Raises:
    ValueError: If they cannot be compared, or no chain is finished.
  """
  found: dict[str, dict[int, vote_scores.Run]] = {}
  for kind in (CHAIN, *CONTROLS, RAW):
    for path in sorted(folder.glob(f'{kind}-*')):
      seed = path.name.removeprefix(f'{kind}-')
      if seed.isdigit() and (path / 'results.json').is_file():
        found.setdefault(kind, {})[int(seed)] = vote_scores.read(path)
  if CHAIN not in found:
    raise ValueError(f'{folder} has no finished run {CHAIN}-SEED yet')
  every = [one for kind in found.values() for one in kind.values()]
  vote_scores.check(every, FREE)
  _check_lengths(found)
  return found


def _check_lengths(found: Mapping[str, Mapping[int, vote_scores.Run]]):
  """That all train for as long, but for those that shall train longer."""
  lengths = {
    f'{kind}-{seed}': tuple(run.config['train'][name] for name in LENGTHS)
    for kind, by_seed in found.items()
    for seed, run in by_seed.items()
    if kind != 'longer'
  }
  if len(set(lengths.values())) > 1:
    said = ', '.join(f'{name}: {n}' for name, n in lengths.items())
    raise ValueError(
      f'the runs have different schedules ({", ".join(LENGTHS)}: {said}): keep '
      'recipes in folders of their own'
    )


def scores(
  found: Mapping[str, Mapping[int, vote_scores.Run]],
  scorer: vote_scores.Scorer,
) -> dict[str, dict[int, vote_scores.Scores]]:
  """Scores by row ('single teachers') and seed."""
  made: dict[str, dict[int, vote_scores.Scores]] = {}

  def add(name, seed, probs):
    for kind, score in zip(
      KINDS, (scorer.singles, scorer.ensemble), strict=True
    ):
      made.setdefault(f'{kind} {name}', {})[seed] = score(probs)

  for seed, run in found[CHAIN].items():
    first, *students = run.results['names']
    add('teachers', seed, run.probabilities(first))
    add('scaled', seed, run.probabilities(first, vote_scores.VOTES))
    for name in students:
      add(name, seed, run.probabilities(name))
  for kind in (*CONTROLS, RAW):
    for seed, run in found.get(kind, {}).items():
      add(kind, seed, run.probabilities(run.results['names'][0]))
  return made


def gap(chains: Chains, row: str, rival: str, key: str, faces: int) -> Estimate:
  """How much better a row is than a rival, over the chains that have both."""
  shared = sorted(chains[row].keys() & chains.get(rival, {}).keys())
  if not shared:
    return Estimate(None, None)
  sign = -1 if key in LOWER_IS_BETTER else 1
  differences = [
    sign * (chains[row][seed][key] - chains[rival][seed][key])
    for seed in shared
  ]
  return vote_scores.over_chains(differences, faces)


def claims(
  chains: Chains,
  students: Sequence[str],
  faces: int,
  names: Mapping[str, str] = MappingProxyType(NAMES),
  rivals: Sequence[str] = RIVALS,
) -> list[Claim]:
  """'Students win', one row for each generation and kind.

  All differences of a row have to be positive (an intersection-union test).

  Args:
    chains: Scores.
    students: The generations.
    faces: Number of test images.
    names: What rivals are called in a text.
    rivals: Whom students have to beat.
  """
  made = []
  for name in students:
    for kind in KINDS:
      row = f'{kind} {name}'
      gaps = {
        (names[rival], key): gap(chains, row, f'{kind} {rival}', key, faces)
        for key in (KL, SPEARMAN)
        for rival in rivals
      }
      missing = sorted(
        {rival for (rival, _), one in gaps.items() if one.value is None}
      )
      made.append(
        Claim(
          text=f'{row} networks beat teachers and all controls, in KL and '
          'Spearman',
          source='not measured',
          here='' if missing else _smallest(gaps),
          differences=tuple(gaps.values()),
          untestable=f'no run of {", ".join(missing)}' if missing else '',
          stacks=('Tea', name),
        )
      )
  return made


def _smallest(gaps: Mapping[tuple[str, str], Estimate]) -> str:
  """The rival that comes nearest in each score."""
  texts = []
  for key in (KL, SPEARMAN):
    rival, one = min(
      ((rival, one) for (rival, k), one in gaps.items() if k == key),
      key=lambda found: math.inf if found[1].value is None else found[1].value,
    )
    texts.append(f'{key}: {one.signed()} over {rival}')
  return '; '.join(texts)


def gated(
  found: Mapping[str, Mapping[int, vote_scores.Run]],
  made: Sequence[Claim],
  kinds: Sequence[str] = (CHAIN, *CONTROLS),
) -> list[Claim]:
  """Marks what chains cannot test: floor, and networks that still improved."""
  for kind in kinds:
    for run in found.get(kind, {}).values():
      made = findings.gated(made, run.results)
  return list(made)


def levels(
  chains: Chains,
  faces: int,
  names: Mapping[str, str] = MappingProxyType(NAMES),
  columns: Sequence[str] = COLUMNS,
) -> tables.Table:
  """What every kind of network reaches; a row of `chains` each."""
  rows = []
  for row, by_seed in chains.items():
    kind, name = row.split(' ', 1)
    cells = [
      vote_scores.over_chains([one[key] for one in by_seed.values()], faces)
      .signed()
      .lstrip('+')
      for key in columns
    ]
    rows.append([f'{names.get(name, name)}, {kind}', str(len(by_seed)), *cells])
  note = (
    'Mean over chains, of single networks over their members, ± half of the 95 % '
    'interval over chains and test images (three chains or more). Accuracy and '
    'NLL: of images with a label.'
  )
  title = 'Students, teachers and controls'
  return tables.Table(title, ['', 'chains', *columns], rows, [note])


def differences(
  chains: Chains, students: Sequence[str], faces: int
) -> tables.Table:
  """Students against each rival; above 0 students are better."""
  rows = []
  for kind in KINDS:
    for name in students:
      for rival in RIVALS:
        cells = [
          gap(chains, f'{kind} {name}', f'{kind} {rival}', key, faces).signed()
          for key in (KL, SPEARMAN)
        ]
        rows.append([f'{kind} {name} against {NAMES[rival]}', *cells])
  title = 'How much better students are'
  return tables.Table(title, ['', KL, SPEARMAN], rows)


def decisions(made: Sequence[Claim]) -> tables.Table:
  """The verdicts; all rows are one family."""
  rows = [
    [one.claim, verdicts.WORDS[one.verdict], one.here]
    for one in verdicts.decide(made)
  ]
  columns = ['', 'verdict', 'the nearest rival']
  return tables.Table('Do students win?', columns, rows, [verdicts.RULE])


def report(folder: pathlib.Path, replicates: int) -> list[tables.Table]:
  """All tables of what is finished."""
  found = runs(folder)
  first = next(iter(found[CHAIN].values()))
  scorer = vote_scores.Scorer(first.test.share, first.label, replicates)
  chains, faces = scores(found, scorer), len(first.label)
  students = first.results['names'][1:]
  made = gated(found, claims(chains, students, faces))
  return [
    decisions(made),
    differences(chains, students, faces),
    levels(chains, faces),
  ]


def parser() -> argparse.ArgumentParser:
  """The command line."""
  made = planned_runs.parser('benchmarks.ferplus_controls', __doc__)
  made.add_argument('--data', default='DATA', help='prepared, majority labels')
  made.add_argument('--raw', default='', help='prepared, --option rule=raw')
  recipes.option(made)
  return made


def main(arguments: Sequence[str]) -> int:
  """Returns the exit code; see the module's docstring."""
  asked = parser().parse_args(arguments)
  try:
    every = plan(
      asked.runs, asked.data, asked.raw, range(asked.seeds), dict(asked.recipe)
    )
  except ValueError as error:
    print(f'error: {error}', file=sys.stderr)
    return 1

  def tell():
    if asked.out or list(asked.runs.glob(f'{CHAIN}-*/results.json')):
      return report(asked.runs, asked.replicates)
    return []

  return planned_runs.follow(asked, every, tell)


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
