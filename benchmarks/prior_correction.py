"""Paper 000's tables with and without prior correction, over several seeds.

  python -m benchmarks.prior_correction runs/prior --train \
    --out docs/results/prior-correction.md --section EMENet-V
  python -m benchmarks.prior_correction runs/prior-va --audio --train \
    --out docs/results/prior-correction.md --section EMENet-VA

plans runs of configs/gen.py by seed: RUNS/plain-SEED and RUNS/corrected-SEED differ
in `loss.correct_teachers` alone; the second takes the teachers of the first, so that
their students can be compared by seed. RUNS/unbalanced-SEED are teachers without
Algorithm 1 (the paper's Table 5). EMENet-VA has plain runs alone. Without --train it
says what is finished and what the rest takes. Cells are means over seeds with Student's 95 %
interval. Between the markers of the page everything is written anew; what is around
them is kept.
"""

import argparse
import json
import pathlib
import sys
from collections.abc import Sequence

import numpy as np

from benchmarks import planned_runs, prior_tables, tables
from benchmarks.planned_runs import Planned
from benchmarks.prior_tables import Run, Study

CONFIG = 'configs/gen.py'
PLAIN, CORRECTED, UNBALANCED = 'plain', 'corrected', 'unbalanced'
MEMBERS = 2  # of configs/gen.py
SETTINGS = {'train.epochs': 16, 'runtime.cpu_devices': 1}
AUDIO = {'model.name': 'emenet_va', 'data.audio': True}
MINUTES = 2.0  # of one core for a network, compilation and predictions included


def plan(folder: pathlib.Path, seeds: Sequence[int], audio: bool):
  """Runs of every seed, `Planned`.

  Args:
    folder: Of all runs.
    seeds: Of networks and of data.
    audio: EMENet-VA, with voices.
  """
  made: list[Planned] = []

  def add(kind: str, seed: int, networks: int, **changes):
    settings = SETTINGS | {'seed': seed, 'data.seed': seed}
    settings |= (AUDIO if audio else {}) | changes
    path = folder / f'{kind}-{seed}'
    made.append(planned_runs.run(path, CONFIG, networks, settings))
    return path

  for seed in seeds:
    plain = add(PLAIN, seed, 2 * MEMBERS)
    if not audio:
      handed_on = {'loss.correct_teachers': True, 'distill.teachers': plain}
      add(CORRECTED, seed, MEMBERS, **handed_on)
      alone = {'generations': 0, 'train.balance': 'off'}
      add(UNBALANCED, seed, MEMBERS, **alone)
  return made


def read(folder: pathlib.Path) -> Study:
  """The finished runs of a folder.

  Raises:
    ValueError: If there are less than two seeds, a run is not finished, runs of a
      seed differ in more than they are meant to, or some seeds lack a kind of run.
  """
  seeds = _seeds(folder, PLAIN)
  if len(seeds) < 2:
    raise ValueError(f'{folder} has {len(seeds)} folders plain-SEED, not two')
  found = {PLAIN: _results(folder, PLAIN, seeds)}
  for kind, check in ((CORRECTED, _check), (UNBALANCED, _check_unbalanced)):
    present = _seeds(folder, kind)
    if present and present != seeds:
      raise ValueError(
        f'{folder} has folders {kind}-SEED of other seeds than {PLAIN}-SEED'
      )
    for seed in present:
      check(folder / f'{PLAIN}-{seed}', folder / f'{kind}-{seed}')
    found[kind] = _results(folder, kind, present)
  for seed, *both in zip(seeds, found[PLAIN], found[CORRECTED], strict=False):
    _check_teachers(*both, folder / f'{CORRECTED}-{seed}')
  return Study(**found)


def _results(folder: pathlib.Path, kind: str, seeds) -> list[Run]:
  return [_json(folder / f'{kind}-{seed}' / 'results.json') for seed in seeds]


def _seeds(folder: pathlib.Path, kind: str) -> list[str]:
  return sorted(
    run.name.removeprefix(f'{kind}-')
    for run in folder.glob(f'{kind}-*')
    if run.is_dir()
  )


def _json(path: pathlib.Path):
  try:
    return json.loads(path.read_text())
  except (OSError, ValueError) as error:
    raise ValueError(
      f'{path} cannot be read ({error}): run it first'
    ) from error


def _check(plain: pathlib.Path, corrected: pathlib.Path):
  """That only what teachers hand on differs, and whose they are."""
  one, other = _configs(plain, corrected)
  for made, expected in ((one, False), (other, True)):
    if made['loss'].pop('correct_teachers') is not expected:
      raise ValueError(
        f'{plain.parent}: {plain.name} and {corrected.name} are '
        'not without and with loss.correct_teachers'
      )
    made['distill'].pop('teachers')  # `_check_teachers` looks at themselves
  if one != other:
    raise ValueError(f'{plain} and {corrected} differ in other settings, too')


def _check_teachers(plain: Run, corrected: Run, path: pathlib.Path):
  """That teachers of both are as good, so that they are the same networks."""
  both = [
    prior_tables.scores(run, run['names'][0], 'plain', 'mean')
    for run in (plain, corrected)
  ]
  same = both[0].keys() == both[1].keys()
  if not (same and all(np.isclose(both[1][k], v) for k, v in both[0].items())):
    raise ValueError(f'{path} has other teachers than its {PLAIN} run')


def _check_unbalanced(plain: pathlib.Path, unbalanced: pathlib.Path):
  """That runs differ in Algorithm 1 and in having students alone."""
  one, other = _configs(plain, unbalanced)
  if (one['train'].pop('balance'), other['train'].pop('balance')) != (
    'paper',
    'off',
  ):
    raise ValueError(
      f'{plain} and {unbalanced} are not with and without balance'
    )
  for made in (one, other):
    made.pop('generations')
  if one != other:
    raise ValueError(f'{plain} and {unbalanced} differ in other settings, too')


def _configs(*folders: pathlib.Path) -> list[dict]:
  """Settings of runs, but for how they were computed."""
  found = [_json(folder / 'config.json')['config'] for folder in folders]
  for config in found:
    config.pop('runtime')
  return found


def everything(study: Study, audio: bool = False) -> list[tables.Table]:
  """All tables of a network.

  Raises:
    ValueError: If the runs have no students, or are not corrected.
  """
  if len(study.names) < 2 or not study.plain[0]['generations'][
    study.names[0]
  ].get('pc'):
    raise ValueError('expected runs with class weights and with students')
  single, every = ('Table 6', 'Tables 6 and 7') if audio else (
    'Table 3', 'Tables 3 and 4, Figure 5'
  )  # fmt: skip
  made = [
    prior_tables.metrics(study),
    prior_tables.probabilities(study, every),
    prior_tables.units(study, single),
    prior_tables.truths(study),
    prior_tables.foreign(study),
    prior_tables.differences(study),
  ]
  return [*made, prior_tables.balance(study)] if study.unbalanced else made


def main(argv: Sequence[str]) -> int:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  add = parser.add_argument
  add('runs', type=pathlib.Path, help='folder of the runs')
  add('--audio', action='store_true', help='EMENet-VA, which hears')
  add('--train', action='store_true', help='do what is not finished')
  add('--seeds', type=planned_runs.positive, default=5, help='how many')
  add('--minutes', type=float, default=MINUTES, help='of a core, for a network')
  add('--out', type=pathlib.Path, help='a page with markers')
  add('--section', default='', help='whose markers, where a page has several')
  args = parser.parse_args(argv)
  return planned_runs.follow(
    args,
    plan(args.runs, range(args.seeds), args.audio),
    lambda: everything(read(args.runs), args.audio),
  )


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
