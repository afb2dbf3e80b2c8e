"""Label distributions before and after merging and balancing data sets.

  python -m emojax.data.balance_figures --data DATA/affwild2 --data DATA/expw \
      --out figures

draws figure 2 of paper 001 for every task of the first data set, from the
labels of prepared data sets alone: every data set, all of them merged, and the
merged frames resampled by the weights that training draws them by
(`sampling.clip_weights`). Labels are matched by name; prepare the data sets
with the same names (`--option expressions=affwild2 --option action_units=au8`).
"""

import argparse
import pathlib
import sys
from collections.abc import Mapping

import numpy as np

from emojax import tasks
from emojax.data import balance, distributions, sampling, store, stored


def stages(
  task: tasks.Task,
  targets: Mapping[str, tasks.Target],
  variant: str = 'paper',
  seed: int = 0,
) -> dict[str, np.ndarray]:
  """Label counts of one task before and after.

  Args:
    task: The task.
    targets: Name of a data set to targets of its frames, leading axis F.
    variant: See `sampling.clip_weights`, as for `seed`.
    seed: Seed of the draws.

  Returns:
    Name of a stage to `distributions.label_counts`: every data set, 'merged'
    (if there are several) and 'resampled', which draws as many frames as are
    labelled.
  """
  found = {
    name: distributions.label_counts(task, target)
    for name, target in targets.items()
  }
  merged = tasks.Target(*map(np.concatenate, zip(*targets.values())))
  if len(targets) > 1:
    found['merged'] = distributions.label_counts(task, merged)
  frames = {task.name: tasks.Target(*(array[:, None] for array in merged))}
  weights = sampling.clip_weights((task,), frames, (task.name,), variant, seed)
  drawn = balance.resample(weights, np.count_nonzero(weights), seed)
  resampled = tasks.Target(*(array[drawn] for array in merged))
  found['resampled'] = distributions.label_counts(task, resampled)
  return found


def draw(
  stores: list[stored.Store],
  out: pathlib.Path,
  split: str = 'train',
  variant: str = 'paper',
  seed: int = 0,
) -> list[pathlib.Path]:
  """Writes out/balance-TASK.png for every task that has labels.

  Args:
    stores: Prepared data sets; the first one's tasks are drawn.
    out: Folder of the figures.
    split: Split of all data sets.
    variant: See `sampling.clip_weights`, as for `seed`.
    seed: Seed of the draws.

  Raises:
    StoreError: A data set lacks the split.
    ValueError: Labels of a task differ between the data sets.
  """
  tables = {data.name: data.table(split) for data in stores}
  if len(tables) < len(stores):
    raise ValueError(
      f'two data sets of one name: {", ".join(d.name for d in stores)}'
    )
  out.mkdir(parents=True, exist_ok=True)
  paths = []
  for task in stores[0].spec.schema:
    labelled = {
      data.name: tables[data.name].targets[task.name]
      for data in stores
      if _has(data, task) and np.any(tables[data.name].targets[task.name].mask)
    }
    if labelled:
      paths.append(out / f'balance-{task.name}.png')
      counts = stages(task, labelled, variant, seed)
      distributions.draw(task, counts, paths[-1])
  return paths


def _has(data: stored.Store, task: tasks.Task) -> bool:
  """Whether a data set has a task; raises if its labels are others."""
  mine = {other.name: other for other in data.spec.schema}.get(task.name)
  if mine is None:
    return False
  if mine != task:
    raise ValueError(
      f'{data.path}: task {task.name!r} has labels {", ".join(mine.labels)}; '
      f'expected {", ".join(task.labels)}; prepare it with expressions= or '
      'action_units='
    )
  return True


def main(argv: list[str] | None = None) -> int:
  """Command line; returns the exit status."""
  parser = argparse.ArgumentParser(
    'python -m emojax.data.balance_figures',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  add = parser.add_argument
  add('--data', action='append', required=True, help='prepared; may repeat')
  add('--out', required=True, type=pathlib.Path, help='folder of the figures')
  add('--split', default='train', help='default train')
  add('--variant', default='paper', choices=sampling.VARIANTS)
  add('--seed', type=int, default=0)
  given = parser.parse_args(argv)
  try:
    stores = [stored.Store(path) for path in given.data]
    paths = draw(stores, given.out, given.split, given.variant, given.seed)
  except (OSError, ValueError, store.StoreError) as error:
    print(f'error: {error}', file=sys.stderr)
    return 1
  print('\n'.join(map(str, paths)))
  return 0


if __name__ == '__main__':
  sys.exit(main())
